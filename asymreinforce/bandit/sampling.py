"""Stochastic updates: estimates of a(y) and d from n sampled arms, with the trainer's advantages.

    a_hat(y) = (1/n) sum_i A_i 1[y_i = y],   d_hat = (1/n) sum_i A_i,   y_i ~ mu
    l(y)    <- l(y) + eta (a_hat(y) - d_hat pi(y))

A_i comes from `asymreinforce.algorithm.objective.advantages`. mu is frozen during an iteration, so
the estimates of many steps are drawn at once.

Shapes: C chain, A arm, T step, N sampled arm of a step, S random stream. B = C * T * N.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm.objective import advantages
from asymreinforce.bandit.config import Batch
from asymreinforce.bandit.problem import Flow

CHUNK = 2_000_000
"""Largest C * T * max(A, N) of a chunk: 16 MB per tensor."""


class Groups(NamedTuple):
    """The reference of sampled advantages: the mean of `size` arms; None: baseline_C is V."""

    baseline_C: Tensor
    size: int | None


def draw_uniforms(generators: list[np.random.Generator], *, steps: int, samples: int) -> Tensor:
    """Draw u ~ U[0, 1) from each stream   (S, T, N); chains of one stream share their draws."""
    draws = [generator.random((steps, samples)) for generator in generators]
    return torch.from_numpy(np.stack(draws))


def sample_arms(behaviour_CA: Tensor, uniforms_CTN: Tensor) -> Tensor:
    """Return the arms y with F(y - 1) <= u < F(y), F the cumulative sum of mu   (C, T, N)."""
    cumulated_CA = behaviour_CA.cumsum(-1)
    # rounding may leave the last sum below 1: scaled, every u belongs to an arm that has mass
    scaled_CTN = uniforms_CTN * cumulated_CA[:, -1, None, None]
    shape = scaled_CTN.shape
    arms_CM = torch.searchsorted(cumulated_CA, scaled_CTN.reshape(shape[0], -1), right=True)
    return arms_CM.reshape(shape).clamp_max_(behaviour_CA.shape[1] - 1)


def estimate_drift(arms_CTN: Tensor, rewards_CA: Tensor, groups: Groups) -> Tensor:
    """a_hat(y) = (1/n) sum_i A_i 1[y_i = y] of every step (T, C, A).

    If `groups.size` is G, the N arms of a step form N/G groups, and V is the group's mean plus the
    baseline. If None, V is the baseline.
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


class Sampler:
    """Draws a_hat of each step; chains of one (sampling seed, reward seed) share their draws."""

    def __init__(self, batch: Batch) -> None:
        streams = [(chain.sampling_seed, chain.seed) for chain in batch.chains]
        names = sorted(set(streams))
        self._generators = [np.random.default_rng(name) for name in names]
        self._stream_of_C = torch.tensor([names.index(stream) for stream in streams])
        self._baseline_C = torch.tensor([c.baseline for c in batch.chains], dtype=torch.float64)
        self._samples, self._group_size = batch.samples, batch.group_size
        self._squares_C = torch.zeros(len(streams), dtype=torch.float64)
        self._steps = 0

    def drifts(
        self, behaviour_CA: Tensor, rewards_CA: Tensor, *, flow: Flow, steps: int
    ) -> Iterator[Tensor]:
        """Yield a_hat (C, A) of each step; `flow` is the exact update, E a_hat = s a (`noise`)."""
        groups = self._groups(behaviour_CA, rewards_CA, flow)
        chunk = max(1, CHUNK // (len(behaviour_CA) * max(behaviour_CA.shape[1], self._samples)))
        for first in range(0, steps, chunk):
            draws_STN = draw_uniforms(
                self._generators, steps=min(chunk, steps - first), samples=self._samples
            )
            arms_CTN = sample_arms(behaviour_CA, draws_STN[self._stream_of_C])
            drift_TCA = estimate_drift(arms_CTN, rewards_CA, groups)
            self._record_noise(drift_TCA, flow)
            yield from drift_TCA

    @property
    def noise(self) -> Tensor:
        """sqrt(E |a_hat/s - a|^2), s = (G-1)/G for group means, else 1   (C,)."""
        return (self._squares_C / max(1, self._steps)).sqrt()

    def _groups(self, behaviour_CA: Tensor, rewards_CA: Tensor, flow: Flow) -> Groups:
        if self._group_size is not None:
            return Groups(self._baseline_C, self._group_size)
        return Groups((behaviour_CA * rewards_CA).sum(-1) - flow.gap_C, None)

    def _record_noise(self, drift_TCA: Tensor, flow: Flow) -> None:
        share = 1 - 1 / self._group_size if self._group_size else 1.0
        self._squares_C += (drift_TCA / share - flow.drift_CA).square().sum((0, 2))
        self._steps += len(drift_TCA)
