"""An arm's objective on its reward scale: verdicts -> rewards -> advantages -> loss inputs.

    r = reward of the stored verdict       A = r - V       c = w * A, or the inputs of a ratio loss

Shapes: B sequences of the step that have a reward.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm.aggregation import sequence_weights
from asymreinforce.algorithm.groups import dropped_sequences
from asymreinforce.algorithm.table import Linear, objective_of
from asymreinforce.config import ExperimentConfig
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Rows
from asymreinforce.errors import InputError
from asymreinforce.rewards.scale import rewards_of, scale_rewards
from asymreinforce.update.packing import Sequences
from asymreinforce.update.trainer import RatioInputs

OF_MEANS = ("dataset_mean", "shrunk_group_mean", "running_mean")
"""References that take the mean reward of a set of rollouts."""


class RewardedRows(NamedTuple):
    """The rows that have a reward; completions that were left out are in no group any more."""

    rows: Rows
    reward_B: Tensor
    correct_B: Tensor

    @property
    def sequences(self) -> Sequences:
        """The token ids of the rows."""
        return Sequences(self.rows.prompts, self.rows.completions)


class ArmObjective:
    """What an arm maximises.

    `means` are the mean rewards that a reference of that kind takes, by the start of the round that
    drew a row; without them it is that of `scored`. Raises `ConfigError` for an objective that is
    not there, `InputError` if the mean reward of the set is needed and nothing was scored.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        scored: ScoredRollouts,
        *,
        means: Mapping[int, float] | None = None,
    ):
        self._config = config
        self._objective = objective_of(
            config.algorithm, baseline_reference=config.baseline_reference
        )
        self._means = means or {}
        self._mean = means[max(means)] if means else reward_mean(config, scored)

    @property
    def needs_behaviour_logps(self) -> bool:
        """Whether rows must bring log mu."""
        return self._objective.needs_behaviour_logps

    def rewards(self, rows: Rows) -> RewardedRows:
        """Apply the reward scale to stored verdicts."""
        scale = scale_rewards(
            score_B=rows.score_B,
            status_B=rows.status_B,
            truncated_B=rows.truncated_B,
            config=self._config.reward,
        )
        kept = np.flatnonzero(scale.kept_B)
        return RewardedRows(
            rows.take(kept),
            torch.from_numpy(scale.reward_B[kept]),
            torch.from_numpy(scale.correct_B[kept]),
        )

    def advantages(self, rewarded: RewardedRows) -> Tensor:
        """A = r - V,  V(x) = reference(x) + baseline  (Arnal et al. 2025, Eq. 4), shape B."""
        if not len(rewarded.reward_B):
            return rewarded.reward_B
        return self._objective.advantages(
            rewarded.reward_B,
            torch.from_numpy(rewarded.rows.group_B),
            baseline=self._config.baseline,
            reference_name=self._config.baseline_reference,
            mean=self._mean_of(rewarded.rows),
            lengths_B=_lengths(rewarded.rows),
            quantile=self._config.baseline_quantile,
        )

    def _mean_of(self, rows: Rows) -> float | Tensor | None:
        """Return the mean reward that a reference takes, of the round that drew each row."""
        if rows.origins is None or not self._means:
            return self._mean
        starts = rows.origins.start_B.tolist()
        return torch.tensor([self._means[start] for start in starts], dtype=torch.float64)

    def loss_inputs(self, advantages_B: Tensor, rewarded: RewardedRows) -> Tensor | RatioInputs:
        """Return c_B of a linear objective, or what a ratio objective needs beside log pi."""
        rows = rewarded.rows
        if not len(advantages_B):
            return advantages_B
        algorithm = self._config.algorithm
        weights_B = sequence_weights(_lengths(rows), algorithm.aggregation)
        if algorithm.drop_groups != "none":
            dropped_B = dropped_sequences(
                rewarded.reward_B,
                rewarded.correct_B,
                torch.from_numpy(rows.group_B),
                dropped=algorithm.drop_groups,
            )
            weights_B = weights_B.masked_fill(dropped_B, 0.0)
        if rows.origins is not None:
            weights_B = weights_B.masked_fill(torch.from_numpy(rows.origins.is_muted_B), 0.0)
        if isinstance(self._objective, Linear):
            return self._objective.coefficients(advantages_B, rewarded.correct_B) * weights_B
        assert rows.behaviour_logps is not None
        return RatioInputs(self._objective.loss, advantages_B, weights_B, rows.behaviour_logps)


def _lengths(rows: Rows) -> Tensor:
    return torch.tensor([len(completion) for completion in rows.completions])


def reward_mean(config: ExperimentConfig, scored: ScoredRollouts) -> float | None:
    """Return the mean reward of the scored rollouts in use if the reference needs it."""
    if config.baseline_reference not in OF_MEANS:
        return None
    total, count = 0.0, 0
    for table in scored.verdict_columns():
        scale = rewards_of(table, config.reward)
        total += math.fsum(scale.reward_B[scale.kept_B])
        count += int(scale.kept_B.sum())
    if not count:
        raise InputError("no rollout was judged, so their mean reward is not known")
    return total / count
