"""Groups that teach nothing: those of equal rewards, which AsymRE keeps and others drop.

Under `group_mean` each sample of such a group has A = -baseline: below 0 it is imitated. Dropping
it is another algorithm (DAPO's dynamic sampling does so; Yu et al. 2025, arXiv 2503.14476, Sec.
3.2, which samples others in their place). Here its sequences stay in N with a weight of 0, so that
the others' share of the gradient is the same.

Shapes: B sequences of whole groups; `groups_B` holds an integer per sequence.
"""

import torch
from torch import Tensor

from asymreinforce.config.training import DroppedGroups


def group_maxima(values_B: Tensor, groups_B: Tensor) -> Tensor:
    """Give each sequence the largest value of its group."""
    _, group_of_B = torch.unique(groups_B, return_inverse=True)
    highest_P = values_B.new_full((int(group_of_B.max()) + 1,), -torch.inf)
    return highest_P.scatter_reduce_(0, group_of_B, values_B, "amax")[group_of_B]


def has_equal_rewards(rewards_B: Tensor, groups_B: Tensor) -> Tensor:
    """Tell of each sequence whether all rewards of its group are the same (bool)."""
    return group_maxima(rewards_B, groups_B) == -group_maxima(-rewards_B, groups_B)


def dropped_sequences(
    rewards_B: Tensor, correct_B: Tensor, groups_B: Tensor, *, dropped: DroppedGroups
) -> Tensor:
    """Tell which sequences are of groups that are dropped (bool)."""
    if dropped == "none":
        return torch.zeros_like(correct_B)
    if dropped == "equal":
        return has_equal_rewards(rewards_B, groups_B)
    right_B = correct_B.to(rewards_B.dtype)
    if dropped == "all_right":
        return group_maxima(-right_B, groups_B) == -1
    return group_maxima(right_B, groups_B) == 0
