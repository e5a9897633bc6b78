"""Settings of what lies around the arms of a sweep: trackers, processes, pinned directories."""

from typing import Literal

from pydantic import Field

from asymreinforce.config.paths import HomePath
from asymreinforce.config.settings import Settings


class TrackerConfig(Settings):
    """Metrics always go to local files; a tracker mirrors them if it is asked to."""

    name: Literal["none", "wandb", "trackio", "tensorboard"] = Field(
        "none", description="service that mirrors the metrics"
    )
    mode: Literal["online", "offline"] | None = Field(
        None, description="of wandb; null for WANDB_MODE, else online"
    )
    project: str | None = Field(
        None, description="null for WANDB_PROJECT with wandb, else 'asymreinforce'"
    )
    entity: str | None = Field(None, description="of wandb; null for WANDB_ENTITY, else your own")
    tags: tuple[str, ...] = Field((), description="of wandb; none for WANDB_TAGS")


class SweepConfig(Settings):
    """What a sweep does beside its arms."""

    workers: int | None = Field(
        None,
        ge=1,
        description="processes that train or evaluate at once on this machine; null for as many as "
        "its CUDA devices allow, or its cores if none is used; more than one a device share it "
        "(small models on a large one)",
    )
    together: int = Field(
        1, ge=1, description="arms of one seed that a process trains side by side, reading once"
    )
    report: bool = Field(True, description="write report.html and its figures at the end")


class Pins(Settings):
    """Directories to use in place of the ones that the settings name; null for those."""

    prompts: HomePath | None = Field(None, description="a directory of prompts")
    rollouts: HomePath | None = Field(None, description="a directory of rollouts")
    verdicts: HomePath | None = Field(None, description="a directory of verdicts")
