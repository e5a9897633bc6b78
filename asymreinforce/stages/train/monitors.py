"""Monitor an arm while it trains: metrics, diagnostics, validation, and collapse."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from asymreinforce.algorithm.collapse import Rule, State, observe
from asymreinforce.config import ExperimentConfig
from asymreinforce.stages.train.decoding import decoding
from asymreinforce.stages.train.objective import RewardedRows
from asymreinforce.stages.train.replay import ages
from asymreinforce.stages.train.schedule import Round
from asymreinforce.update.diagnostic_set import DiagnosticSet, mean_of
from asymreinforce.update.gradient import momentum_cosine
from asymreinforce.update.trainer import Trainer, Update

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Validate = Callable[["PreTrainedModel", int], float]
"""(model, step) -> accuracy on validation prompts, used only to choose the best checkpoint."""

Metrics = dict[str, Any]
"""A row of METRICS (`data/schemas.py`)."""


class Best(NamedTuple):
    """The step of the highest validation accuracy so far; None before the first validation."""

    step: int | None = None
    accuracy: float | None = None


class Monitors:
    """Measure an arm without changing its weights or publishing anything.

    Every rank must make every call, because all ranks measure the diagnostic set together.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        round_: Round,
        trainer: Trainer,
        *,
        watched: DiagnosticSet,
        validate: Validate | None,
    ):
        self._config, self._round, self._schedule = config, round_, round_.schedule
        self._trainer, self._watched, self._validate = trainer, watched, validate
        self._rule = rule_of(config)
        self.best = Best()
        self.collapse = State()
        self.behaviour_logps_B: Tensor
        """log mu(y|x) of the diagnostic set, by the training model at the start of the round."""

    def at_start(self) -> Metrics:
        """Return the metrics of step 0, at which the policy is mu, so that KL(mu || pi) is 0."""
        return self._seen(self._start_of_round(0) | self._validated(0))

    def resume(
        self, *, best: Best, behaviour_logps_B: Tensor, seen: Iterable[Mapping[str, Any]]
    ) -> None:
        """Resume from a saved step; `seen` are the metrics of all steps up to it."""
        self.best, self.behaviour_logps_B = best, behaviour_logps_B
        # the collapse rule is folded over all steps, so that a resumed arm stops at the same step
        for metrics in seen:
            self.collapse = observe(self.collapse, metrics, self._rule)

    def at_start_of_round(self, step: int) -> Metrics | None:
        """Return metrics at the start of a round, at which mu is the current policy: KL is 0 again.

        Returns None if no step of the round has diagnostics.
        """
        # without diagnostics nothing in the round needs log mu
        if not any(self._is_diagnosed(s) for s in range(step + 1, self._round.end + 1)):
            return None
        return self._seen(self._start_of_round(step))

    def after(self, step: int, update: Update, rewarded: RewardedRows) -> Metrics:
        """Return the metrics of a step, with diagnostics and validation if they are due."""
        metrics = self._figures(step, update, rewarded)
        if self._is_diagnosed(step):
            measured = self._watched.measure(self._trainer)
            metrics |= self._watched.metrics(measured, self.behaviour_logps_B)
            metrics["momentum_cosine"] = momentum_cosine(
                self._trainer.optimizer, is_sharded=self._trainer.ranks.mesh is not None
            )
        if step in self._schedule.lasting:
            metrics |= self._validated(step)
        return self._seen(metrics)

    @property
    def ends_here(self) -> bool:
        """Whether training stops because the policy collapsed; every rank must ask."""
        if self._config.train.on_collapse != "stop":
            return False
        return bool(self._trainer.ranks.decided(lambda: self.collapse.step is not None))

    def _seen(self, metrics: Metrics) -> Metrics:
        self.collapse = observe(self.collapse, metrics, self._rule)
        return metrics

    def _figures(self, step: int, update: Update, rewarded: RewardedRows) -> Metrics:
        logps_B = torch.from_numpy(update.logps_B)
        computed_B, correct_B = ~logps_B.isnan(), rewarded.correct_B
        origins, own_B = rewarded.rows.origins, torch.ones_like(correct_B)
        replay: Metrics = {}
        if origins is not None:
            own_B = torch.from_numpy(origins.start_B == self._round.start)
            replay = ages(origins, step=step, current=self._round)
        return replay | {
            "step": step,
            "staleness": step - self._round.start,
            "sequences": len(correct_B),
            "skipped_sequences": update.skipped,
            "loss": update.loss,
            "grad_norm": update.grad_norm,
            "lr": update.lr,
            # without replayed rollouts: the reward of this round's behaviour policy
            "reward": mean_of(rewarded.reward_B[own_B]),
            "logp_correct": mean_of(logps_B[computed_B & correct_B]),
            "logp_incorrect": mean_of(logps_B[computed_B & ~correct_B]),
        }

    def _start_of_round(self, step: int) -> Metrics:
        """Measure log mu of the diagnostic set with the training model, and return the metrics."""
        measured = self._watched.measure(self._trainer)
        self.behaviour_logps_B = measured.logps_B
        metrics = {"step": step, "staleness": 0, "sequences": 0, "skipped_sequences": 0}
        return metrics | self._watched.metrics(measured, measured.logps_B)

    def _is_diagnosed(self, step: int) -> bool:
        return step % self._config.train.diagnostics_every == 0 or step == self._schedule.steps

    def _validated(self, step: int) -> Metrics:
        """Validate, and store the best step: the first step with the highest accuracy."""
        if self._validate is None:
            return {}
        accuracy = self._accuracy(self._validate, step)
        if step and (self.best.accuracy is None or accuracy > self.best.accuracy):
            self.best = Best(step, accuracy)
        return {"validation_accuracy": accuracy}

    def _accuracy(self, validate: Validate, step: int) -> float:
        """Validate on the first rank with the gathered model, and send the accuracy to all."""
        with decoding(self._trainer) as model:
            return self._trainer.ranks.decided(
                lambda: validate(model, step) if model is not None else 0.0
            )


def rule_of(config: ExperimentConfig) -> Rule:
    """Return the collapse rule for the validation and the reward scale of a configuration."""
    return Rule(
        validation_prompts=max(1, config.train.validation_prompts),
        incorrect=config.reward.incorrect,
        correct=config.reward.correct,
        reads_rewards=config.reward.is_one_of_two,
    )
