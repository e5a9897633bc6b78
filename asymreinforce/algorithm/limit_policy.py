"""The largest V at which each arm survives in the limit policy of AsymRE, and a reference by it.

Theorem 4.2 of Arnal et al. 2025 (arXiv 2506.20520): for V < V^mu, training on a table ends at

    pi*(y) = (a(y) - tau)_+ / d,     a(y) = mu(y) (r(y) - V),   d = V^mu - V = sum_y a(y)

with tau set so that sum_y pi*(y) = 1. Arm j keeps mass if and only if

    sum_y (a(y) - a(j))_+ < d.

The support of pi* shrinks as V grows, and each support contains the next one, so each arm has a
largest V at which it survives. `docs/theory/closed-form.md` derives this; `bandit/closed_form.py`
computes pi* itself.

Shapes: A arm y, J arm j whose survival is asked about; B sequences of complete groups, G samples of
a group, whose distinct completions are arms.
"""

import torch
from torch import Tensor

from asymreinforce.errors import ConfigError

TOLERANCE = 1e-9
"""Absorbs rounding: a sum of shares may reach a support of 0.7 slightly before or after 0.7."""


def survival_values(behaviour_A: Tensor, rewards_A: Tensor) -> Tensor:
    """Return, for each arm, the supremum of the V < V^mu at which it keeps mass   (A,), fp64.

    The supremum is the root of h_j(V) = d(V) - sum_y (a(y) - a(j))_+. All arms must have mu(y) > 0.
    """
    # h_j is concave and piecewise linear in V, above 0 at very low V and at most 0 at V^mu. So
    # Newton's method from V^mu falls monotonically and ends exactly at the root, within A rounds:
    # each round solves one linear piece.
    mu_A, r_A = behaviour_A.double(), rewards_A.double()
    earned_A = mu_A * r_A
    mean, total = earned_A.sum(), mu_A.sum()
    earned_JA = earned_A - earned_A[:, None]
    share_JA = mu_A - mu_A[:, None]
    value_J = mean.expand(len(mu_A))
    above_JA = torch.zeros_like(share_JA, dtype=torch.bool)
    for _ in range(len(mu_A) + 1):
        drift_JA = mu_A * (r_A - value_J[:, None])
        now_JA = drift_JA > drift_JA.diagonal()[:, None]
        if torch.equal(now_JA, above_JA):
            break
        above_JA = now_JA
        slope_J = total - (share_JA * above_JA).sum(-1)
        value_J = (mean - (earned_JA * above_JA).sum(-1)) / slope_J
    return value_J


def value_of_support(behaviour_A: Tensor, rewards_A: Tensor, *, support: float) -> float:
    """Return sup{V <= V^mu : mu(support of pi*_V) >= support}, for 0 < support <= 1."""
    values_A, order_A = survival_values(behaviour_A, rewards_A).sort(descending=True, stable=True)
    mass_A = behaviour_A.double()[order_A].cumsum(0)
    last = int((mass_A < support - TOLERANCE).sum())
    return float(values_A[last])


def limit_support(
    rewards_B: Tensor, groups_B: Tensor, completions_B: Tensor, *, support: float
) -> Tensor:
    """V-hat(x) = sup{V <= V^mu : mu(support of pi*_V) >= support}, with the group's samples as mu.

    Theorem 4.2 of Arnal et al. 2025, applied to the empirical distribution of the group: each
    distinct completion has its share of the samples and its mean reward. The limit policy pi*_V of
    training at V keeps fewer completions the closer V is to V^mu. With this V
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
