"""When an arm is checkpointed, and what each checkpoint's shards are called."""

import functools
import itertools
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError


class Schedule(NamedTuple):
    """The steps of an arm: weights are written every so often and at the last one.

    They are written as well where the behaviour policy becomes the policy in training, and stay
    there until the round that they start is over.
    """

    steps: int
    every: int
    keep: int | None
    """How many of the latest weights are kept; None for all."""
    refresh_every: int | None = None
    """Steps of a round; None for one round of all steps."""

    @property
    def lasting(self) -> list[int]:
        """The steps at which weights are written to be evaluated."""
        return sorted({*range(self.every, self.steps + 1, self.every), self.steps})

    @property
    def starts(self) -> list[int]:
        """The steps after which each round starts: 0, and wherever mu becomes pi."""
        return list(range(0, self.steps, self.refresh_every or self.steps))

    @property
    def checkpoints(self) -> list[int]:
        """The steps at which weights and the full state are written."""
        return sorted({*self.lasting, *self.starts[1:]})

    @property
    def kept(self) -> list[int]:
        """Those whose weights are there in the end."""
        return self.kept_at(self.steps)

    def kept_at(self, step: int) -> list[int]:
        """Those whose weights are there once `step` is done."""
        written = [s for s in self.lasting if s <= step]
        kept = written[-self.keep :] if self.keep else written
        mu = {self.start_of(step)} - {0} if step < self.steps else set()
        return sorted({*kept, *mu})

    def until(self, step: int) -> list[int]:
        """The steps at which weights have been written once `step` is done."""
        return [s for s in self.checkpoints if s <= step]

    def start_of(self, done: int) -> int:
        """The step after which the round starts that goes on once `done` steps are."""
        return max(start for start in self.starts if start <= done)

    @property
    def shards(self) -> list[str]:
        """What every finished arm holds; the best checkpoint and states may come to it."""
        return [
            *(round_shard(start) for start in self.starts if self.refresh_every),
            *(metrics_shard(step) for step in self.checkpoints),
            *(weights_shard(step) for step in self.kept),
        ]

    def resumable(self, store: Store) -> int:
        """Return the latest step with weights and full state and nothing missing before; else 0.

        Where it is inside a round, the weights are there that the round's rollouts came from.
        """
        is_valid, kept = functools.cache(store.is_valid), set(self.kept)
        whole = itertools.takewhile(
            lambda step: (
                is_valid(metrics_shard(step))
                and (step not in kept or is_valid(weights_shard(step)))
            ),
            self.checkpoints,
        )
        for step in reversed(list(whole)):
            start = self.start_of(step) if step < self.steps else 0
            own = [weights_shard(step), state_shard(step), *([weights_shard(start)] * (start > 0))]
            if all(is_valid(name) for name in own):
                return step
        return 0


class Round(NamedTuple):
    """A stretch of an arm's steps, on rollouts of the weights that it starts from."""

    schedule: Schedule
    start: int = 0
    """The steps before it."""
    at: int | None = None
    """The step that the arm stands at, where that is known."""

    @property
    def number(self) -> int:
        """Its place among the rounds, from 0."""
        return self.schedule.starts.index(self.start)

    @property
    def end(self) -> int:
        """The last of its steps."""
        every = self.schedule.refresh_every or self.schedule.steps
        return min(self.start + every, self.schedule.steps)


def schedule_of(
    config: ExperimentConfig, *, prompts: int, prompts_per_step: int | None = None
) -> Schedule:
    """Return the schedule on a set of `prompts` prompts; so many make a step, or as settings say.

    Raises `InputError` where they make less than one step.
    """
    prompts_per_step = prompts_per_step or config.prompts_per_step
    steps = config.steps or prompts * config.optim.epochs // prompts_per_step
    if not steps:
        raise InputError(
            f"{prompts} prompts make no step of {prompts_per_step}; generate more "
            "prompts, or lower optim.trajectories_per_step"
        )
    every = config.refresh_every
    return Schedule(
        steps,
        config.train.checkpoint_every,
        config.train.keep_checkpoints,
        every if every and every < steps else None,
    )


def weights_shard(step: int) -> str:
    """Name the Hugging Face checkpoint of a step."""
    return f"checkpoints/step-{step:06d}"


def state_shard(step: int) -> str:
    """Name the rest of the full state of a step."""
    return f"state/step-{step:06d}"


PASSING = ("state", "interrupted")
"""Folders that a run needs to go on from, and a finished arm holds only if its plan says so."""


def metrics_shard(step: int) -> str:
    """Name the metrics of the steps since the checkpoint before, up to this one."""
    return f"metrics/step-{step:06d}.parquet"


def round_shard(start: int) -> str:
    """Name the record of what the round after step `start` was trained on."""
    return f"rounds/step-{start:06d}.json"
