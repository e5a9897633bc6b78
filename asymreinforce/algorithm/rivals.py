"""Further objectives: GSPO and DRO (ratio), AWR (linear).

    rho_t = pi(y_t|x, y_<t) / mu(y_t|x, y_<t)     of a token
    rho   = prod_t rho_t = pi(y|x) / mu(y|x)      of a sequence

Ratio objectives have the arguments of those in `ratio.py` and its shapes: B sequences, C completion
tokens laid end to end, losses of shape B, to be minimised. `awr` has those of `linear.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asymreinforce.algorithm.ratio import sequence_sums
from asymreinforce.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def gspo(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """L = -min(s A, clip(s, 1 - clip_low, 1 + clip_high) A),  s = rho^(1/n), n tokens.

    Group sequence policy optimization (Zheng et al. 2025, arXiv 2507.18071, Eq. 5 and 7): one ratio
    a sequence, the geometric mean of its tokens', and A = (r - mean r)/std. The mean over tokens is
    inside s, so the aggregation is `sequence_sum`. At n = 1 it is PPO's clip.
    Fails: one clip for all lengths, though s strays less from 1 the longer a sequence is; with
    rollouts many updates old nearly every s is outside so narrow a clip and few samples teach.
    """
    # a sequence may have no token here; its ratio is then 1
    lengths_B = sequence_sums(logps_C.new_ones(len(logps_C)), sequence_of_C, advantages_B)
    log_ratio_B = sequence_sums(logps_C - behaviour_logps_C, sequence_of_C, advantages_B)
    ratio_B = (log_ratio_B / lengths_B.clamp_min(1)).exp()
    kept_B = ratio_B.clamp(1 - clip_low, 1 + clip_high)
    return -(ratio_B * advantages_B).minimum(kept_B * advantages_B)


def dro(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    tau: float,
) -> Tensor:
    """L = (1/(2 tau)) (A - tau log rho)^2,  A = r - V.

    Direct reward optimisation (Richemond et al. 2024, arXiv 2405.19107): the squared residual of
    r - V(x) = tau log(pi/pi_ref), divided by tau as the paper does for its policy gradient. pi_ref
    is mu here and V the reference plus the baseline, where the paper learns both V and pi. The
    gradient is that of `opmd_kimi` with the same tau, whatever the reference.
    Fails: the optimum's V is tau log E_mu[exp(r/tau)]. The group's mean is below that unless all
    rewards are equal, and no pi then has residual 0 on all of mu. Small tau lets pi go far from mu.

    Raises `ConfigError` unless tau > 0.
    """
    _require_positive(tau, name="dro")
    log_ratio_B = sequence_sums(logps_C - behaviour_logps_C, sequence_of_C, advantages_B)
    return (advantages_B - tau * log_ratio_B).square() / (2 * tau)


def awr(advantages_B: Tensor, correct_B: Tensor, *, tau: float, weight_limit: float) -> Tensor:
    """c = min(exp(A / tau), weight_limit),  A = r - V.

    Advantage-weighted regression (Peng et al. 2019, arXiv 1910.00177, Algorithm 1; tau is its
    beta), the exponential clipped as its authors do. No sample is pushed down. If no weight is
    clipped, the optimum is pi proportional to mu exp(r / tau), and a baseline only scales the loss.
    Fails: nothing that mu never drew is found; small tau leaves the best samples alone, at the
    limit, and large tau clones mu. The scale of the weights enters the learning rate.

    Raises `ConfigError` unless tau > 0.
    """
    _require_positive(tau, name="awr")
    return (advantages_B / tau).clamp_max(math.log(weight_limit)).exp()


def _require_positive(tau: float, *, name: str) -> None:
    if tau <= 0:
        raise ConfigError(
            f"algorithm.tau={tau} of {name} must be above 0; it divides the advantage"
        )
