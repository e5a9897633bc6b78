"""A reference V-hat(x) by Theorem 4.2: the last V at which training keeps enough of a group.

Shapes: B sequences of complete groups, G samples of a group, A distinct completions of a group.
"""

import torch
from torch import Tensor

from asymreinforce.algorithm.limit_policy import value_of_support
from asymreinforce.errors import ConfigError


def limit_support(
    rewards_B: Tensor, groups_B: Tensor, completions_B: Tensor, *, support: float
) -> Tensor:
    """V-hat(x) = sup{V <= V^mu : mu(support of pi*_V) >= support}, with the group's samples as mu.

    Theorem 4.2 of Arnal et al. 2025, applied to the empirical distribution of the group: each
    distinct completion has its share of the samples and its mean reward. The limit policy pi*_V of
    training at V keeps fewer completions the closer V is to V^mu (`limit_policy.py`). With this V
    and any baseline below 0, the limit keeps completions that make up `support` of the samples.
    This reference is not from a paper.

    Value: with two reward levels, distinct completions and a share p of correct samples, V is V^mu
    if p >= support, else the low reward. Hard prompts teach only by their correct samples, as under
    `group_quantile`; easy prompts get the group's mean. V is never above the group's mean.
    Fails: a group shows few of the completions that mu can draw, so its limit is not the limit of
    mu. The theorem is about a table, in which completions share no parameters.

    Raises `ConfigError` unless 0 < support <= 1.
    """
    if not 0 < support <= 1:
        raise ConfigError(f"the support that is kept must be above 0 and at most 1, not {support}")
    values_B = torch.empty_like(rewards_B)
    for group in torch.unique(groups_B):
        is_of_group_B = groups_B == group
        values_B[is_of_group_B] = _value_of_group(
            rewards_B[is_of_group_B], completions_B[is_of_group_B], support
        )
    return values_B


def _value_of_group(rewards_G: Tensor, completions_G: Tensor, support: float) -> float:
    _, arm_of_G, counts_A = torch.unique(completions_G, return_inverse=True, return_counts=True)
    lowest = rewards_G.min()
    # measured from the lowest reward, so that equal rewards give exactly that reward as V
    above_A = rewards_G.new_zeros(len(counts_A)).index_add_(0, arm_of_G, rewards_G - lowest)
    value = value_of_support(
        counts_A.double() / len(rewards_G), above_A / counts_A, support=support
    )
    return float(lowest + value)
