"""The updates that AsymRE is compared with, each as a weight on the arms' drifts.

    dl(y) = eta (k(y) - pi(y) sum_z k(z)),   k(y) = w(y) mu(y) (r(y) - V)

    asymre               w = 1, Arnal et al. 2025, Eq. 4
    importance_weighted  w = pi/mu, so k = pi (r - V): off-policy REINFORCE
    clipped              w = pi/mu, but 0 if the ratio has left [1 - c, 1 + c] on the side to which
                         A = r - V pushes the ratio: the gradient of PPO's surrogate
                         (Schulman et al. 2017, arXiv 1707.06347, Eq. 7)

Shapes: C chain, A arm.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from asymreinforce.bandit.config import Update


class WeightInputs(NamedTuple):
    """Inputs of a weight: mu and A = r - V, both (C, A), and the clip c."""

    behaviour_CA: Tensor
    advantages_CA: Tensor
    clip: float


def importance_weighted(policy_CA: Tensor, setting: WeightInputs) -> Tensor:
    """w = pi/mu, but 0 if mu has no mass   (C, A)."""
    ratio_CA = policy_CA / setting.behaviour_CA
    # without mass the drift is 0, and 0 times an infinite ratio would be NaN
    return ratio_CA.masked_fill(setting.behaviour_CA == 0, 0.0)


def clipped(policy_CA: Tensor, setting: WeightInputs) -> Tensor:
    """w = pi/mu if min(w A, clip(w, 1 - c, 1 + c) A) has a gradient, else 0   (C, A)."""
    ratio_CA = importance_weighted(policy_CA, setting)
    good_CA = setting.advantages_CA > 0
    limit_CA = torch.where(good_CA, 1 + setting.clip, 1 - setting.clip)
    has_left_CA = torch.where(good_CA, ratio_CA > limit_CA, ratio_CA < limit_CA)
    return ratio_CA.masked_fill(has_left_CA, 0.0)


WEIGHTS: dict[Update, Callable[[Tensor, WeightInputs], Tensor]] = {
    "importance_weighted": importance_weighted,
    "clipped": clipped,
}
"""The weights of all updates except AsymRE, whose weight is 1."""
