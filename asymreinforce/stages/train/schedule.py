"""When an arm is checkpointed, and what each checkpoint's shards are called."""

from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import InputError


class Schedule(NamedTuple):
    """The steps of an arm: weights are written every so often and at the last one."""

    steps: int
    every: int
    keep: int | None
    """How many of the latest weights are kept; None for all."""

    @property
    def checkpoints(self) -> list[int]:
        """The steps at which weights are written."""
        return sorted({*range(self.every, self.steps + 1, self.every), self.steps})

    @property
    def kept(self) -> list[int]:
        """Those whose weights are there in the end."""
        return self.kept_at(self.steps)

    def kept_at(self, step: int) -> list[int]:
        """Those whose weights are there once `step` is done."""
        written = self.until(step)
        return written[-self.keep :] if self.keep else written

    def until(self, step: int) -> list[int]:
        """The steps at which weights have been written once `step` is done."""
        return [s for s in self.checkpoints if s <= step]

    @property
    def shards(self) -> list[str]:
        """What a finished arm holds, the full state of its last step included."""
        return [
            *(metrics_shard(step) for step in self.checkpoints),
            *(weights_shard(step) for step in self.kept),
            state_shard(self.steps),
        ]


def schedule_of(
    config: ExperimentConfig, *, prompts: int, prompts_per_step: int | None = None
) -> Schedule:
    """Return the schedule on a set of `prompts` prompts; so many make a step, or as settings say.

    Raises `InputError` where they make less than one step.
    """
    prompts_per_step = prompts_per_step or config.prompts_per_step
    steps = config.optim.steps or prompts * config.optim.epochs // prompts_per_step
    if not steps:
        raise InputError(
            f"{prompts} prompts make no step of {prompts_per_step}; generate more "
            "prompts, or lower optim.trajectories_per_step"
        )
    return Schedule(steps, config.train.checkpoint_every, config.train.keep_checkpoints)


def weights_shard(step: int) -> str:
    """Name the Hugging Face checkpoint of a step."""
    return f"checkpoints/step-{step:06d}"


def state_shard(step: int) -> str:
    """Name the rest of the full state of a step."""
    return f"state/step-{step:06d}"


def metrics_shard(step: int) -> str:
    """Name the metrics of the steps since the checkpoint before, up to this one."""
    return f"metrics/step-{step:06d}.parquet"
