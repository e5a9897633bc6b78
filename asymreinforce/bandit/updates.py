"""The updates that AsymRE is held against, as a weight on each arm's drift.

    dl(y) = eta (k(y) - pi(y) sum_z k(z)),   k(y) = w(y) mu(y) (r(y) - V)

    asymre               w = 1, Arnal et al. 2025, Eq. 4
    importance_weighted  w = pi/mu, off-policy REINFORCE: then k = pi (r - V)
    clipped              w = pi/mu, and 0 once the ratio has left [1 - c, 1 + c] on the side that
                         A = r - V pushes it to: the gradient of PPO's surrogate
                         (Schulman et al. 2017, arXiv 1707.06347, Eq. 7)

Shapes: C chain, A arm.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from asymreinforce.bandit.config import Update


class WeightInputs(NamedTuple):
    """What a weight may look at: mu and A = r - V, both (C, A), and the clip c."""

    behaviour_CA: Tensor
    advantages_CA: Tensor
    clip: float


def importance_weighted(policy_CA: Tensor, setting: WeightInputs) -> Tensor:
    """w = pi/mu, 0 where mu has no mass   (C, A)."""
    ratio_CA = policy_CA / setting.behaviour_CA
    return ratio_CA.masked_fill(setting.behaviour_CA == 0, 0.0)


def clipped(policy_CA: Tensor, setting: WeightInputs) -> Tensor:
    """w = pi/mu where min(w A, clip(w, 1 - c, 1 + c) A) has a gradient, 0 elsewhere   (C, A)."""
    ratio_CA = importance_weighted(policy_CA, setting)
    good_CA = setting.advantages_CA > 0
    limit_CA = torch.where(good_CA, 1 + setting.clip, 1 - setting.clip)
    has_left_CA = torch.where(good_CA, ratio_CA > limit_CA, ratio_CA < limit_CA)
    return ratio_CA.masked_fill(has_left_CA, 0.0)


WEIGHTS: dict[Update, Callable[[Tensor, WeightInputs], Tensor]] = {
    "importance_weighted": importance_weighted,
    "clipped": clipped,
}
"""The weights that are not 1: the updates whose path depends on pi/mu."""
