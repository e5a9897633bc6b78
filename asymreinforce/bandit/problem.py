"""The bandit of Section 5.1, and the drift and gap that determine its update.

    mu(y) = softmax(y / scale),   r(y) ~ U[0, 1],   V^mu = sum_y mu(y) r(y)
    a(y)  = mu(y) (r(y) - V)                          the drift of an arm
    d     = sum_y a(y) = V^mu - V                     the gap

Shapes: C chain, A arm.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.bandit.config import Reference


class Flow(NamedTuple):
    """The expected update of the logits l, dl(y) = a(y) - d pi(y), of C chains.

    `drift_CA` is a(y) = mu(y)(r(y) - V); `gap_C` is d = V^mu - V.
    """

    # d = sum a is kept on its own: d is often known exactly, while the sum of drifts would cancel

    drift_CA: Tensor
    gap_C: Tensor


def draw_rewards(seed: int, arms: int) -> Tensor:
    """Draw r(y) ~ U[0, 1] (A,) as `np.random.seed(seed); np.random.rand(arms)` does."""
    return torch.from_numpy(np.random.RandomState(seed).rand(arms))


def behaviour_logits(arms: int, scale: float) -> Tensor:
    """Return l(y) = y / scale (A,), the logits of mu (Sec. 5.1 has scale 10)."""
    return torch.arange(arms, dtype=torch.float64).div(scale)


def expected_reward(policy_CA: Tensor, rewards_CA: Tensor) -> Tensor:
    """V^pi = sum_y pi(y) r(y)   (C,)."""
    return (policy_CA * rewards_CA).sum(-1)


def policy_entropy(policy_CA: Tensor) -> Tensor:
    """H(pi) = -sum_y pi(y) log pi(y), in nats (C,)."""
    return torch.xlogy(policy_CA, policy_CA).sum(-1).abs()


def total_variation(left_CA: Tensor, right_CA: Tensor) -> Tensor:
    """TV = 1/2 sum_y |p(y) - q(y)|   (C,)."""
    return (left_CA - right_CA).abs().sum(-1) / 2


def value_gap(
    baseline_C: Tensor,
    *,
    reference: Reference,
    mean_C: Tensor,
    first_mean_C: Tensor,
    group_size: int | None = None,
) -> Tensor:
    """d = V^mu - V of the expected update, for V = reference + baseline   (C,).

    `mean_C` is V^mu of the current behaviour policy, `first_mean_C` V^mu of the first behaviour
    policy. If the reference is the mean of G samples, the sample itself included, the expected
    update is (G-1)/G times the exact update at V = V^mu + baseline * G/(G-1); d is for this V.
    """
    if reference == "zero":
        return mean_C - baseline_C
    if reference == "initial_mean":
        return mean_C - first_mean_C - baseline_C
    if reference == "group_mean" and group_size is not None:
        return -baseline_C * group_size / (group_size - 1)
    return -baseline_C


def flow_at_gap(behaviour_CA: Tensor, rewards_CA: Tensor, gap_C: Tensor) -> Flow:
    """Return the flow for V = V^mu - d, with the gap d (C,) exactly as given."""
    value_C = expected_reward(behaviour_CA, rewards_CA) - gap_C
    return Flow(behaviour_CA * (rewards_CA - value_C[:, None]), gap_C)


def flow_at_value(behaviour_CA: Tensor, rewards_CA: Tensor, value_C: Tensor) -> Flow:
    """Return the flow for a given V (C,)."""
    gap_C = expected_reward(behaviour_CA, rewards_CA) - value_C
    return Flow(behaviour_CA * (rewards_CA - value_C[:, None]), gap_C)
