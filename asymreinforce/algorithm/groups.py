"""Drop groups from training: groups of equal rewards, or groups outside a band of difficulty.

Under `group_mean` each sample of a group of equal rewards has A = -baseline, so a negative baseline
imitates the group. Dropping such groups is another algorithm. DAPO's dynamic sampling (Yu et al.
2025, arXiv 2503.14476, Sec. 3.2) drops them and samples other groups in their place. Here the
sequences of a dropped group get weight 0 but stay in N, so the share of the gradient that each
other sequence has does not change.

Shapes: B sequences of whole groups; `groups_B` holds an integer per sequence.
"""

from torch import Tensor

from asymreinforce.algorithm.references import group_maxima, group_mean
from asymreinforce.config import AlgorithmConfig


def has_equal_rewards(rewards_B: Tensor, groups_B: Tensor) -> Tensor:
    """Return for each sequence whether all rewards of its group are the same   (B, bool)."""
    # min = -max(-r); a comparison is exact, a standard deviation of 0 is subject to rounding
    return group_maxima(rewards_B, groups_B) == -group_maxima(-rewards_B, groups_B)


def dropped_sequences(
    rewards_B: Tensor, correct_B: Tensor, groups_B: Tensor, *, algorithm: AlgorithmConfig
) -> Tensor:
    """Return for each sequence whether `drop_groups` or `kept_shares` drop its group   (B, bool).

    `kept_shares` is the band (low, high) of a group's share of correct samples that is kept.
    """
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
