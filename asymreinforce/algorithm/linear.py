"""Objectives whose coefficient of log pi(y|x) is known before the forward pass.

    J = (1/N) sum_i c_i log pi(y_i|x_i)

N is the number of sequences of the step, V(x) = reference(x) + baseline, A = r - V.

Shapes: B sequences; A is `advantages_B`, `correct_B` (bool) says which sequences are correct.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asymreinforce.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def asymre(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c = A = r - V   (Arnal et al. 2025, arXiv 2506.20520, Eq. 4)."""
    return advantages_B


def reinforce(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c = r - V with one constant V for all prompts (Williams 1992; Arnal et al. 2025, Def. 4.1).

    The reference is `zero`, so V is the baseline itself.
    """
    return advantages_B


def rloo(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c_i = r_i - (1/(G-1)) sum_{j != i} r_j   (Ahmadian et al. 2024, arXiv 2402.14740, Sec. 3.3).

    The mean is the reference `leave_one_out`; a baseline other than 0 shifts it.
    """
    return advantages_B


def positives_only(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c = 1[correct]: SFT on the correct completions (rejection sampling); no baseline is used."""
    return correct_B.to(advantages_B.dtype)


def opmd_mean(advantages_B: Tensor, correct_B: Tensor, *, tau: float) -> Tensor:
    """c = (r - mean r) / (1 + tau): online policy mirror descent, mean form.

    The policy loss `opmd` of Trinity-RFT (Pan et al. 2025, arXiv 2505.17826), with the group's mean
    as baseline. It is mirror descent towards mu, with the current policy in place of mu.
    """
    return advantages_B / (1 + tau)


def asymmetric(
    advantages_B: Tensor,
    correct_B: Tensor,
    *,
    positive_weight: float,
    negative_weight: float,
    imitation: float,
) -> Tensor:
    """c = w+ max(A, 0) - w- max(-A, 0) + beta: a family that contains AsymRE and its rivals.

    w+ is `positive_weight`, w- is `negative_weight`, beta is `imitation`. At baseline 0, so that
    A = r - reference(x), the members are:

        w+ = w- = 1, beta = -baseline            AsymRE (Arnal et al. 2025, Eq. 4)
        w+ = w- = 1, beta = -V, reference zero   REINFORCE with a constant V (Def. 4.1)
        w- = 0, reference zero                   positives only
        w+ = 0, reference zero                   negatives only: NSR of Zhu et al. 2025
                                                 (arXiv 2506.01347)
        w+ = 0.1, w- = 1, reference zero         W-REINFORCE of Zhu et al. 2025, lambda = w+
        w+ = w- = 0, beta = 1                    imitation of mu

    Sequences with c = 0 need no forward pass.
    """
    positive_B, negative_B = advantages_B.clamp(min=0), (-advantages_B).clamp(min=0)
    return positive_weight * positive_B - negative_weight * negative_B + imitation


def awr(advantages_B: Tensor, correct_B: Tensor, *, tau: float, weight_limit: float) -> Tensor:
    """c = min(exp(A / tau), weight_limit),  A = r - V.

    Advantage-weighted regression (AWR; Peng et al. 2019, arXiv 1910.00177, Algorithm 1; tau is the
    paper's beta), with the exponential clipped as in the authors' code. No sample is pushed down.
    If no weight is clipped, the optimum is pi proportional to mu exp(r / tau), and a baseline only
    scales the loss.
    Fails: pi finds no completion that mu never drew. Small tau keeps only the best samples, at the
    limit; large tau clones mu. The scale of the weights acts like a learning rate.

    Raises `ConfigError` unless tau > 0.
    """
    require_positive(tau, name="awr")
    # clipped before exp, which could overflow
    return (advantages_B / tau).clamp_max(math.log(weight_limit)).exp()


def require_positive(tau: float, *, name: str) -> None:
    """Raise `ConfigError` unless the tau of an objective is above 0."""
    if tau <= 0:
        raise ConfigError(
            f"algorithm.tau={tau} of {name} must be above 0; it divides the advantage"
        )
