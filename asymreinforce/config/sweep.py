"""Settings of a sweep besides its arms (trackers, processes, pinned inputs), and of a search."""

from typing import Literal

from pydantic import Field

from asymreinforce.config.settings import HomePath, Settings


class TrackerConfig(Settings):
    """A tracker that mirrors the metrics; metrics are always written to local files."""

    name: Literal["none", "wandb", "trackio", "tensorboard"] = Field(
        "none", description="service that mirrors the metrics"
    )
    mode: Literal["online", "offline"] | None = Field(
        None, description="mode of wandb; null: WANDB_MODE, else online"
    )
    project: str | None = Field(
        None, description="null: WANDB_PROJECT with wandb, else 'asymreinforce'"
    )
    entity: str | None = Field(
        None, description="entity of wandb; null: WANDB_ENTITY, else your own"
    )
    tags: tuple[str, ...] = Field((), description="tags of wandb; empty: WANDB_TAGS")


class SweepConfig(Settings):
    """How a sweep runs its arms."""

    workers: int | None = Field(
        None,
        ge=1,
        description="processes that train or evaluate at once on this machine; null: as many as "
        "its CUDA devices allow, or its cores if no CUDA device is used; several processes can "
        "share a device (small models on a large device)",
    )
    together: int = Field(
        1, ge=1, description="arms of one seed that a process trains together, reading data once"
    )
    report: bool = Field(True, description="write report.html and its figures at the end")


class Pins(Settings):
    """Directories to use in place of those that the settings determine; null: not replaced."""

    prompts: HomePath | None = Field(None, description="a directory of prompts")
    rollouts: HomePath | None = Field(None, description="a directory of rollouts")
    verdicts: HomePath | None = Field(None, description="a directory of verdicts")


class SearchConfig(Settings):
    """Budget of 'asymrl search' for each method (docs/guides/search.md)."""

    trials: int = Field(8, ge=1, le=10_000, description="trials of each method, one arm per seed")
    spread: int = Field(
        4,
        ge=0,
        description="first trials, at evenly spread values; optuna's TPE proposes the others",
    )
    value: Literal["best", "last"] = Field(
        "best", description="validation accuracy of an arm's best or last checkpoint"
    )
    seed: int = Field(0, ge=0, description="seed of TPE")
