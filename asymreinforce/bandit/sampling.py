"""Stochastic updates: a(y) and d estimated from n sampled arms, by the trainer's own advantages.

    a_hat(y) = (1/n) sum_i A_i 1[y_i = y],   d_hat = (1/n) sum_i A_i,   y_i ~ mu

with A_i from `asymreinforce.algorithm.objective.advantages`. Given these, a stochastic step is the
exact one with a_hat for a: l(y) <- l(y) + eta (a_hat(y) - d_hat pi(y)). Since mu is frozen, the
estimates of many steps are made at once.

Shapes: C chain, A arm, T step, N sampled arm of a step, S random stream. B = C * T * N.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm.objective import advantages


class Groups(NamedTuple):
    """The reference of a sampled advantage: the mean of G arms, or, for None, a V per chain."""

    baseline_C: Tensor
    size: int | None


def draw_uniforms(generators: list[np.random.Generator], *, steps: int, samples: int) -> Tensor:
    """Draw u ~ U[0, 1) from each stream (S, T, N); chains of one stream share their draws."""
    draws = [generator.random((steps, samples)) for generator in generators]
    return torch.from_numpy(np.stack(draws))


def sample_arms(behaviour_CA: Tensor, uniforms_CTN: Tensor) -> Tensor:
    """Return the arms y with F(y - 1) <= u < F(y), F the cumulated mu (C, T, N)."""
    cumulated_CA = behaviour_CA.cumsum(-1)
    # The last sum is 1 but for rounding; a u beyond it belongs to the last arm that has mass.
    scaled_CTN = uniforms_CTN * cumulated_CA[:, -1, None, None]
    shape = scaled_CTN.shape
    arms_CM = torch.searchsorted(cumulated_CA, scaled_CTN.reshape(shape[0], -1), right=True)
    return arms_CM.reshape(shape).clamp_max_(behaviour_CA.shape[1] - 1)


def estimate_drift(arms_CTN: Tensor, rewards_CA: Tensor, groups: Groups) -> Tensor:
    """a_hat(y) = (1/n) sum_i A_i 1[y_i = y] of every step (T, C, A).

    With `groups.size` G, each step's N arms are N/G groups and V is a group's mean plus the
    baseline; without, the baseline is V itself.
    """
    chains, steps, samples = arms_CTN.shape
    rewards_CM = rewards_CA.gather(1, arms_CTN.reshape(chains, -1))
    baseline_B = groups.baseline_C.repeat_interleave(steps * samples)
    group_of_B = torch.arange(rewards_CM.numel()) // (groups.size or samples)
    advantages_B = advantages(
        rewards_CM.reshape(-1),
        group_of_B,
        baseline=baseline_B,
        reference_name="group_mean" if groups.size else "zero",
    )
    drift_CTA = torch.zeros(chains, steps, rewards_CA.shape[1], dtype=torch.float64)
    drift_CTA.scatter_add_(2, arms_CTN, advantages_B.reshape(arms_CTN.shape) / samples)
    return drift_CTA.transpose(0, 1)
