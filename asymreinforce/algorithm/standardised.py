"""GRPO's advantage: rewards standardised within their group.

Shapes: B sequences. `groups_B` holds an integer per sequence, equal for the samples of one prompt.
"""

import torch
from torch import Tensor

from asymreinforce.algorithm.groups import has_equal_rewards
from asymreinforce.algorithm.references import group_mean, group_sums


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
