"""Standardise the rewards of a group, or drop groups from training.

Groups of equal rewards can be dropped, or groups outside a band of difficulty.
Under `group_mean` each sample of a group of equal rewards has A = -baseline, so a negative baseline
imitates the group. Dropping such groups is another algorithm. DAPO's dynamic sampling (Yu et al.
2025, arXiv 2503.14476, Sec. 3.2) drops them and samples other groups in their place. Here the
sequences of a dropped group get weight 0 but stay in N, so the share of the gradient that each
other sequence has does not change.

Shapes: B sequences of whole groups; `groups_B` holds an integer per sequence.
"""

import torch
from torch import Tensor

from asymreinforce.algorithm.references import group_maxima, group_mean, group_sums
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


def standardised_advantages(rewards_B: Tensor, groups_B: Tensor) -> Tensor:
    """A = (r - mean r) / s,  s^2 = (1/(G-1)) sum_i (r_i - mean r)^2; 0 in groups of equal rewards.

    Shao et al. 2024 (arXiv 2402.03300), Sec. 4.1.2; s is the sample standard deviation, as in the
    common frameworks, without a constant added.
    """
    sizes_B = group_sums(torch.ones_like(rewards_B), groups_B)
    centred_B = rewards_B - group_mean(rewards_B, groups_B)
    spread_B = (group_sums(centred_B.square(), groups_B) / (sizes_B - 1).clamp_min(1)).sqrt()
    # by comparison, not by s = 0: rounding in the mean would be divided by rounding in s
    is_equal_B = has_equal_rewards(rewards_B, groups_B)
    return (centred_B / spread_B).masked_fill(is_equal_B, 0.0)
