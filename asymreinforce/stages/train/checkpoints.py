"""Publish an arm's checkpoints (metrics, weights and full state), and restore an arm from them.

A run resumes from a full checkpoint, or from a later interrupted one:

    interrupted/weights          like the weights of a checkpoint
    interrupted/state            like the state of a checkpoint
    interrupted/metrics.parquet  metrics of the steps since the checkpoint before

The interrupted checkpoint is a shard with a receipt that is in no plan. It is dropped at the next
checkpoint, so that an interrupted arm ends with the same files as any other arm
(`schedule.PASSING`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.arm_settings import remember_rows
from asymreinforce.data.store import Store
from asymreinforce.model.checkpoint import save_model
from asymreinforce.stages.train.baseline import BaselineInForce
from asymreinforce.stages.train.monitors import Best, Metrics, Monitors
from asymreinforce.stages.train.policy import has_masters, is_half
from asymreinforce.stages.train.schedule import (
    Round,
    metrics_shard,
    state_shard,
    weights_shard,
)
from asymreinforce.update.ranks import Ranks
from asymreinforce.update.state import Position, load_state, save_state
from asymreinforce.update.trainer import Trainer

INTERRUPTED = "interrupted"
WEIGHTS, STATE, METRICS = "weights", "state", "metrics.parquet"


class Source(NamedTuple):
    """The step and files from which a run resumes; the paths are None if it starts at mu."""

    step: int = 0
    weights: Path | None = None
    state: Path | None = None
    unpublished: tuple[dict[str, Any], ...] = ()
    """The metrics of steps that no checkpoint has published yet."""


def where_to_resume(store: Store, round_: Round, ranks: Ranks) -> Source:
    """Return the source from which the arm resumes; every rank must call, the first rank looks."""
    checkpoint = round_.at
    if checkpoint is None:
        checkpoint = int(ranks.decided(lambda: round_.schedule.resumable(store)))
    after = checkpoint
    step = int(ranks.decided(lambda: _interrupted_step(store, after=after)))
    if step > checkpoint:
        place = store.path(INTERRUPTED)
        rows = contracts.read_table(place / METRICS, contracts.METRICS).to_pylist()
        return Source(step, place / WEIGHTS, place / STATE, tuple(rows))
    if not step:
        return Source()
    return Source(step, store.path(weights_shard(step)), store.path(state_shard(step)))


def _interrupted_step(store: Store, *, after: int) -> int:
    """Return the step of the interrupted checkpoint if it follows step `after`, else `after`."""
    receipt = store.receipt(INTERRUPTED)
    # an interrupted checkpoint continues one full checkpoint, and is stale after any other
    if receipt is None or receipt.facts.get("after") != after or not store.is_valid(INTERRUPTED):
        return after
    return int(receipt.facts["step"])


class Checkpoints:
    """Publish an arm's checkpoints, and restore the arm from them.

    With several ranks, every rank must make every call, because each rank writes its part of the
    state.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        store: Store,
        round_: Round,
        trainer: Trainer,
        monitors: Monitors,
        baseline: BaselineInForce,
        *,
        behaviour_policy: Path,
    ):
        self.store, self.schedule = store, round_.schedule
        self.behaviour_policy = behaviour_policy
        """The checkpoint from which the arm started; its tokenizer is saved with the weights."""
        self.saved_step = 0
        self._config, self._round = config, round_
        self._trainer, self._monitors, self._baseline = trainer, monitors, baseline
        self._pending: list[Metrics] = []
        """The metrics of steps that are not published yet."""
        self._longest_row = trainer.asked_tokens

    def begin(self) -> None:
        """Start the arm at the behaviour policy mu."""
        self._pending = [self._monitors.at_start()]
        self._end_if_collapsed(0)

    def restore(self, source: Source) -> None:
        """Restore optimizer, random state, baseline and monitors to a saved step."""
        assert source.state is not None
        position, more = load_state(source.state, self._trainer, masters=has_masters(self._config))
        self._baseline.resume(more)
        step = self.saved_step = source.step
        self._pending = list(source.unpublished)
        self._monitors.resume(
            best=Best(position.best_step, position.best_accuracy),
            behaviour_logps_B=more["behaviour_logps"],
            seen=[*self._published(until=step), *source.unpublished],
        )
        if step == self._round.start:
            started = self._monitors.at_start_of_round(step)
            self._pending = [started] if started else self._pending
        self._end_if_collapsed(step)

    def save_if_due(self, step: int, metrics: Metrics) -> None:
        """Publish a checkpoint if the schedule has one at this step or the arm ends at it."""
        if self._trainer.tokens_per_micro_batch < self._longest_row:
            # memory ran out: a resumed run must start with rows that fit
            self._longest_row = self._trainer.tokens_per_micro_batch
            remember_rows(self.store, self._config, self._longest_row)
        self._pending.append(metrics)
        self._end_if_collapsed(step)
        if step in self.schedule.checkpoints:
            self._save(step)

    def save_interrupted(self, step: int) -> None:
        """Publish an interrupted checkpoint, unless this step or a later one is saved already."""
        if self.saved_step >= min(step, self.schedule.steps):
            return
        after = max(self.schedule.until(step), default=0)
        self.saved_step = step

        def write(place: Path) -> None:
            place.mkdir()
            self._write_weights(place / WEIGHTS)
            self._write_state(place / STATE)
            self._write_metrics(place / METRICS)

        self.store.publish(INTERRUPTED, write, facts={"after": after, "step": step})

    def finish(self) -> None:
        """Keep the best checkpoint, drop the weights and states to be deleted, and close the arm.

        States are kept only with `train.keep_state`.
        """
        best = self._monitors.best
        steps = dict.fromkeys([self.schedule.steps, *([best.step] if best.step else [])])
        shards = [*self.schedule.shards, *(weights_shard(step) for step in steps)]
        if self._config.train.keep_state:
            shards += [state_shard(step) for step in steps]
        for step in self.schedule.checkpoints:
            if weights_shard(step) not in shards:
                self.store.drop(weights_shard(step))
            # a run that is killed in here can resume from the state of the last step
            if step not in steps:
                self.store.drop(state_shard(step))
        self.store.replan(dict.fromkeys(shards))
        self.store.close(
            {
                "steps": self.schedule.steps,
                "best_step": best.step,
                "best_accuracy": best.accuracy,
                "collapse_step": self._monitors.collapse.step,
            }
        )

    def last_weights(self, *, before: int) -> Path:
        """Return the latest weights that were published before a step; mu's if there are none."""
        last = max((s for s in self.schedule.kept_at(before - 1) if s < before), default=0)
        return self.store.directory / weights_shard(last) if last else self.behaviour_policy

    def _end_if_collapsed(self, step: int) -> None:
        """End the schedule at this step if the policy collapsed and training is to stop."""
        if self._monitors.ends_here:
            self.schedule = self.schedule._replace(steps=step)

    def _published(self, *, until: int) -> Iterator[dict[str, Any]]:
        for checkpoint in self.schedule.until(until):
            path = self.store.path(metrics_shard(checkpoint))
            yield from contracts.read_table(path, contracts.METRICS).to_pylist()

    def _save(self, step: int) -> None:
        """Publish metrics, weights and full state, then drop weights and states to be deleted."""
        self.saved_step = step
        self._publish_missing(metrics_shard(step), self._write_metrics)
        self._publish_missing(weights_shard(step), self._write_weights)
        self._publish_missing(state_shard(step), self._write_state)
        self._pending = []
        # an interrupted arm must end with the same files as any other arm
        self.store.drop(INTERRUPTED)
        kept = self.schedule.kept_at(step)
        for earlier in [s for s in self.schedule.checkpoints if s < step]:
            is_best = earlier == self._monitors.best.step
            if not (is_best and self._config.train.keep_state):
                self.store.drop(state_shard(earlier))
            if not (is_best or earlier in kept):
                self.store.drop(weights_shard(earlier))

    def _publish_missing(self, name: str, write: Callable[[Path], None]) -> None:
        if not self._trainer.ranks.decided(lambda: self.store.is_valid(name)):
            self.store.publish(name, write)

    def _write_metrics(self, path: Path) -> None:
        names = contracts.METRICS.schema.names
        columns = {name: [row.get(name) for row in self._pending] for name in names}
        if self._trainer.ranks.is_first:
            table = contracts.make_table(contracts.METRICS, columns)
            contracts.write_table(path, contracts.METRICS, table, identity=self.store.hash)

    def _write_weights(self, path: Path) -> None:
        gathered_in = torch.bfloat16 if has_masters(self._config) else None
        model = self._trainer.whole_model(dtype=gathered_in)
        if model is not None:
            saved_in = torch.bfloat16 if is_half(self._config) else None
            save_model(model, path, tokenizer_from=self.behaviour_policy, dtype=saved_in)

    def _write_state(self, path: Path) -> None:
        best = self._monitors.best
        save_state(
            path,
            self._trainer,
            Position(self.saved_step, best.step, best.accuracy),
            more={"behaviour_logps": self._monitors.behaviour_logps_B, **self._baseline.state},
            masters=has_masters(self._config),
        )
