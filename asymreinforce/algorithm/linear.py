"""Objectives whose coefficient of log pi(y|x) is known before the forward pass.

    J = (1/N) sum_i c_i log pi(y_i|x_i)

Shapes: B sequences; A = r - V is `advantages_B`, `correct_B` says which of them are correct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def asymre(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c = A = r - V   (Arnal et al. 2025, arXiv 2506.20520, Eq. 4)."""
    return advantages_B


def reinforce(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c = r - V with one constant V for all prompts (Williams 1992; Arnal et al. 2025, Def. 4.1).

    The baseline is V itself: the reference is `zero`.
    """
    return advantages_B


def rloo(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c_i = r_i - (1/(G-1)) sum_{j != i} r_j   (Ahmadian et al. 2024, arXiv 2402.14740, Sec. 3.3).

    The mean is the reference `leave_one_out`; a baseline other than 0 shifts it.
    """
    return advantages_B


def positives_only(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c = 1[correct]: rejection sampling, that is SFT on the successes; no baseline enters."""
    return correct_B.to(advantages_B.dtype)


def opmd_mean(advantages_B: Tensor, correct_B: Tensor, *, tau: float) -> Tensor:
    """c = (r - mean r) / (1 + tau): online policy mirror descent, mean form.

    Trinity-RFT (Pan et al. 2025, arXiv 2505.17826), its policy loss `opmd` with the group's mean as
    baseline: mirror descent towards mu, with the current policy in place of mu.
    """
    return advantages_B / (1 + tau)
