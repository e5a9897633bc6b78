"""The bandit of Section 5.1 for several draws of the rewards and several V - V^mu at once."""

from typing import NamedTuple

import torch
from torch import Tensor

from asymreinforce.bandit.problem import Flow, behaviour_logits, draw_rewards, flow_at_gap

DRAWS = (43, *range(20))
BELOW = (-0.5, -0.4, -0.3, -0.2, -0.1, -0.05, -0.02, -0.01, -0.005, -0.002, -0.001)
ABOVE = (0.001, 0.002, 0.005, 0.01, 0.05)


class Case(NamedTuple):
    logits_CA: Tensor
    behaviour_CA: Tensor
    rewards_CA: Tensor
    flow: Flow
    lr_C: Tensor


def case(offsets: tuple[float, ...], *, seeds: tuple[int, ...] = (43,), arms: int = 100) -> Case:
    """Return a chain for each (seed, V - V^mu), seeds outermost."""
    rewards_CA = torch.stack([draw_rewards(seed, arms) for seed in seeds])
    rewards_CA = rewards_CA.repeat_interleave(len(offsets), 0)
    logits_CA = behaviour_logits(arms, 10.0).repeat(len(rewards_CA), 1)
    gap_C = -torch.tensor(offsets, dtype=torch.float64).repeat(len(seeds))
    behaviour_CA = logits_CA.softmax(-1)
    flow = flow_at_gap(behaviour_CA, rewards_CA, gap_C)
    return Case(logits_CA, behaviour_CA, rewards_CA, flow, torch.ones_like(gap_C))
