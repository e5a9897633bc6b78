"""The sampled drifts of a batch, chunk by chunk, and their measured noise.

Shapes: C chain, A arm, T step, N sampled arm, S random stream.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from asymreinforce.bandit.grid import Batch
from asymreinforce.bandit.problem import Flow
from asymreinforce.bandit.sampling import Groups, draw_uniforms, estimate_drift, sample_arms

CHUNK = 2_000_000
"""Largest C * T * max(A, N) of a chunk: 16 MB per tensor."""


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
