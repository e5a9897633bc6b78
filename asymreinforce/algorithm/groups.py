"""Groups that get no weight: those of equal rewards, or outside a band of difficulty.

Under `group_mean` each sample of such a group has A = -baseline: below 0 it is imitated. Dropping
it is another algorithm (DAPO's dynamic sampling does so; Yu et al. 2025, arXiv 2503.14476, Sec.
3.2, which samples others in their place). Here its sequences stay in N with a weight of 0, so that
the others' share of the gradient is the same.

Shapes: B sequences of whole groups; `groups_B` holds an integer per sequence.
"""

from torch import Tensor

from asymreinforce.algorithm.references import group_maxima, group_mean
from asymreinforce.config import AlgorithmConfig


def has_equal_rewards(rewards_B: Tensor, groups_B: Tensor) -> Tensor:
    """Tell of each sequence whether all rewards of its group are the same (bool)."""
    return group_maxima(rewards_B, groups_B) == -group_maxima(-rewards_B, groups_B)


def dropped_sequences(
    rewards_B: Tensor, correct_B: Tensor, groups_B: Tensor, *, algorithm: AlgorithmConfig
) -> Tensor:
    """Tell which sequences are of groups that `drop_groups` or `kept_shares` drop (bool)."""
    right_B = correct_B.to(rewards_B.dtype)
    share_B = group_mean(right_B, groups_B)
    low, high = algorithm.kept_shares or (0.0, 1.0)
    is_outside_B = (share_B < low) | (share_B > high)
    if algorithm.drop_groups == "equal":
        return is_outside_B | has_equal_rewards(rewards_B, groups_B)
    if algorithm.drop_groups == "all_right":
        return is_outside_B | (share_B == 1)
    if algorithm.drop_groups == "all_wrong":
        return is_outside_B | (share_B == 0)
    return is_outside_B
