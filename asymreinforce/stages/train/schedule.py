"""The steps at which an arm is checkpointed, and the names of a checkpoint's shards."""

import functools
import itertools
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError


class Schedule(NamedTuple):
    """The steps of an arm: weights are written after every `every` steps and at the last step.

    Weights are also written at the start of each round, because they are the behaviour policy of
    the round; they are kept until the round is over.
    """

    steps: int
    every: int
    keep: int | None
    """The number of latest weights to keep; None for all."""
    refresh_every: int | None = None
    """The number of steps of a round; None for one round of all steps."""

    @property
    def lasting(self) -> list[int]:
        """The steps at which weights are written for evaluation."""
        return sorted({*range(self.every, self.steps + 1, self.every), self.steps})

    @property
    def starts(self) -> list[int]:
        """The steps after which each round starts: 0, and each step at which mu becomes pi."""
        return list(range(0, self.steps, self.refresh_every or self.steps))

    @property
    def checkpoints(self) -> list[int]:
        """The steps at which weights and the full state are written."""
        return sorted({*self.lasting, *self.starts[1:]})

    @property
    def kept(self) -> list[int]:
        """The checkpoints whose weights are kept when the arm is complete."""
        return self.kept_at(self.steps)

    def kept_at(self, step: int) -> list[int]:
        """The checkpoints whose weights are kept after `step`."""
        written = [s for s in self.lasting if s <= step]
        kept = written[-self.keep :] if self.keep else written
        # mu of round 0 is the checkpoint that all arms share, which is not a file of the arm
        mu = {self.start_of(step)} - {0} if step < self.steps else set()
        return sorted({*kept, *mu})

    def until(self, step: int) -> list[int]:
        """The steps up to `step` at which weights are written."""
        return [s for s in self.checkpoints if s <= step]

    def start_of(self, done: int) -> int:
        """Return the start of the round that is under way after `done` steps."""
        return max(start for start in self.starts if start <= done)

    @property
    def shards(self) -> list[str]:
        """The shards of every complete arm; the best checkpoint and states may be added."""
        return [
            *(round_shard(start) for start in self.starts if self.refresh_every),
            *(metrics_shard(step) for step in self.checkpoints),
            *(weights_shard(step) for step in self.kept),
        ]

    def resumable(self, store: Store) -> int:
        """Return the latest step with weights and full state and no missing shard before; else 0.

        A step inside a round also needs the weights that drew the round's rollouts.
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
    """A range of an arm's steps, trained on rollouts of the weights at its start."""

    schedule: Schedule
    start: int = 0
    """The number of steps before the round."""
    at: int | None = None
    """The number of steps that the arm has done, if known."""

    @property
    def number(self) -> int:
        """The number of the round, from 0."""
        return self.schedule.starts.index(self.start)

    @property
    def end(self) -> int:
        """The last step of the round."""
        every = self.schedule.refresh_every or self.schedule.steps
        return min(self.start + every, self.schedule.steps)


def schedule_of(
    config: ExperimentConfig, *, prompts: int, prompts_per_step: int | None = None
) -> Schedule:
    """Return the schedule of an arm on `prompts` prompts.

    `prompts_per_step` defaults to the number in the settings. Raises `InputError` if the prompts
    make less than one step.
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
        # an arm that never reaches a refresh has no rounds
        every if every and every < steps else None,
    )


def weights_shard(step: int) -> str:
    """Return the shard name of a step's weights, a Hugging Face checkpoint."""
    return f"checkpoints/step-{step:06d}"


def state_shard(step: int) -> str:
    """Return the shard name of the rest of a step's full state."""
    return f"state/step-{step:06d}"


PASSING = ("state", "interrupted")
"""Folders from which a run resumes; a complete arm keeps only those that are in its plan."""


def metrics_shard(step: int) -> str:
    """Return the shard name of the metrics from the checkpoint before up to this step."""
    return f"metrics/step-{step:06d}.parquet"


def round_shard(start: int) -> str:
    """Return the shard name of the record of the round that starts after step `start`."""
    return f"rounds/step-{start:06d}.json"
