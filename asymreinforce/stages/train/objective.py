"""An arm's objective on its reward scale: verdicts -> rewards -> advantages -> loss inputs.

    r = reward of the stored verdicts      A = r - V       c = w * A, or the inputs of a ratio loss

Shapes: B sequences of the step that have a reward.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.algorithm.aggregation import sequence_weights
from asymreinforce.algorithm.groups import dropped_sequences
from asymreinforce.algorithm.kinds import Linear, Objective, WholeStep
from asymreinforce.algorithm.table import objective_of
from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.config import ExperimentConfig
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Rows
from asymreinforce.errors import InputError
from asymreinforce.rewards.scale import total_rewards
from asymreinforce.update.loss_inputs import LossInputs, RatioInputs, StepInputs
from asymreinforce.update.packing import Sequences

OF_MEANS = ("dataset_mean", "shrunk_group_mean", "running_mean")
"""References that are computed from the mean reward of a set of rollouts."""


class RewardedRows(NamedTuple):
    """The rows that have a reward; rows without a reward are left out of their groups."""

    rows: Rows
    reward_B: Tensor
    correct_B: Tensor

    @property
    def groups_B(self) -> Tensor:
        """An integer for each row, equal for all samples of a prompt   (B,)."""
        return torch.from_numpy(self.rows.group_B)

    @property
    def sequences(self) -> Sequences:
        """The token ids of the rows."""
        return Sequences(self.rows.prompts, self.rows.completions)


class ArmObjective:
    """The objective that an arm maximises: rewards, advantages and loss inputs.

    `means`: start of a round -> mean reward for the rows that the round drew, for references that
    need a mean; without `means`, the mean reward of `scored`. Raises `ConfigError` if the objective
    does not exist, `InputError` if the mean reward of the set is needed and nothing was scored.
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
        """Whether rows must have log mu."""
        return self._objective.needs_behaviour_logps

    def rewards(self, rows: Rows) -> RewardedRows:
        """Compute rewards from stored verdicts and lengths (`rewards/scale.py`)."""
        rewards = total_rewards(rows.judged, self._config.reward)
        kept = np.flatnonzero(rewards.kept_B)
        return RewardedRows(
            rows.take(kept),
            torch.from_numpy(rewards.reward_B[kept]),
            torch.from_numpy(rewards.correct_B[kept]),
        )

    def advantages(
        self, rewarded: RewardedRows, *, baseline: float, log_weights_B: Tensor | None = None
    ) -> Tensor:
        """A = r - V,  V(x) = reference(x) + baseline  (Arnal et al. 2025, Eq. 4), shape B.

        `log_weights_B` is log pi/mu, for a reference that depends on it; None stands for pi = mu.
        """
        if not len(rewarded.reward_B):
            return rewarded.reward_B
        reference = self._config.baseline_reference
        return self._objective.advantages(
            rewarded.reward_B,
            rewarded.groups_B,
            correct_B=rewarded.correct_B,
            baseline=baseline,
            reference_name=reference,
            mean=self._mean_of(rewarded.rows),
            lengths_B=_lengths(rewarded.rows),
            quantile=self._config.baseline_quantile,
            log_weights_B=(
                torch.zeros_like(rewarded.reward_B) if log_weights_B is None else log_weights_B
            ),
            completions_B=(
                number_completions(rewarded.rows) if reference == "limit_support" else None
            ),
            support=self._config.baseline_support,
        )

    def _mean_of(self, rows: Rows) -> float | Tensor | None:
        """Return the mean reward for the reference: one for all rows, or of each row's round."""
        if rows.origins is None or not self._means:
            return self._mean
        starts = rows.origins.start_B.tolist()
        return torch.tensor([self._means[start] for start in starts], dtype=torch.float64)

    def loss_inputs(
        self, advantages_B: Tensor, rewarded: RewardedRows, *, baseline: float
    ) -> LossInputs:
        """Return c_B of a linear objective, or the inputs of another objective besides log pi.

        `baseline` is the baseline of `advantages_B`.
        """
        rows = rewarded.rows
        # no rollout of the step was judged
        if not len(advantages_B):
            return advantages_B
        algorithm = self._config.algorithm
        weights_B = sequence_weights(_lengths(rows), algorithm.aggregation)
        if algorithm.drop_groups != "none" or algorithm.kept_shares:
            dropped_B = dropped_sequences(
                rewarded.reward_B, rewarded.correct_B, rewarded.groups_B, algorithm=algorithm
            )
            # weight 0 and not removal: dropped completions count in their group's mean and in N
            weights_B = weights_B.masked_fill(dropped_B, 0.0)
        if rows.origins is not None:
            weights_B = weights_B.masked_fill(torch.from_numpy(rows.origins.is_muted_B), 0.0)
        return make_loss_inputs(
            self._objective,
            advantages_B,
            lambda log_weights_B: self.advantages(
                rewarded, baseline=baseline, log_weights_B=log_weights_B
            ),
            correct_B=rewarded.correct_B,
            groups_B=rewarded.groups_B,
            weights_B=weights_B,
            behaviour_logps=rows.behaviour_logps,
        )


def make_loss_inputs(
    objective: Objective,
    advantages_B: Tensor,
    advantages_at: Callable[[Tensor], Tensor],
    *,
    correct_B: Tensor,
    groups_B: Tensor,
    weights_B: Tensor,
    behaviour_logps: Sequence[np.ndarray] | None,
) -> LossInputs:
    """Return c_B of a linear objective, or the inputs of another objective besides log pi.

    `advantages_at` returns the advantages for log pi/mu of the sequences   (B,), for a reference
    that depends on them; `advantages_B` are those at pi = mu. `behaviour_logps` may be None for a
    linear objective whose reference does not follow the policy.
    """
    if isinstance(objective, Linear) and not objective.follows_policy:
        return objective.coefficients(advantages_B, correct_B) * weights_B
    assert behaviour_logps is not None
    if not isinstance(objective, WholeStep) and not objective.follows_policy:
        return RatioInputs(objective.loss, advantages_B, weights_B, behaviour_logps)

    def step_loss(logps_C: Tensor, behaviour_logps_C: Tensor, sequence_of_C: Tensor) -> Tensor:
        tokens = TokenLogps(
            logps_C, behaviour_logps_C, advantages_B, sequence_of_C, groups_B, correct_B
        )
        # only now is log pi known, on which the reference may depend
        if objective.follows_policy:
            tokens = tokens._replace(advantages_B=advantages_at(tokens.log_ratio_B.detach()))
        return objective.loss(tokens, weights_B)

    return StepInputs(step_loss, behaviour_logps)


def number_completions(rows: Rows) -> Tensor:
    """Return an integer for each row, equal for equal completions of a prompt   (B,)."""
    numbers: dict[tuple[int, bytes], int] = {}
    keys = [
        (int(group), np.asarray(completion, dtype=np.int64).tobytes())
        for group, completion in zip(rows.group_B, rows.completions, strict=True)
    ]
    return torch.tensor([numbers.setdefault(key, len(numbers)) for key in keys])


def _lengths(rows: Rows) -> Tensor:
    return torch.tensor([len(completion) for completion in rows.completions])


def reward_mean(config: ExperimentConfig, scored: ScoredRollouts) -> float | None:
    """Return the mean reward of the scored rollouts in use if the reference needs it."""
    if config.baseline_reference not in OF_MEANS:
        return None
    total, count = 0.0, 0
    for judged in scored.judged(with_lengths=config.reward.overlong.max_tokens is not None):
        rewards = total_rewards(judged, config.reward)
        total += math.fsum(rewards.reward_B[rewards.kept_B])
        count += int(rewards.kept_B.sum())
    if not count:
        raise InputError("no rollout was judged, so their mean reward is not known")
    return total / count
