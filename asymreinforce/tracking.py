"""Experiment tracking: metrics always go to local files, and to wandb where it is asked for."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import ConfigError


@contextlib.contextmanager
def tracker(config: ExperimentConfig, *, arm: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield `log(metrics)`, where `metrics` names its `step`; a no-op unless `tracker=wandb`."""
    if config.tracker.name == "none":
        yield lambda metrics: None
        return
    try:
        import wandb
    except ImportError:
        raise ConfigError("tracker=wandb needs wandb; install the extra 'track'") from None
    directory = config.directory / "wandb"
    directory.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project=config.tracker.project,
        group=config.name,
        name=f"{config.algorithm.name} baseline={config.baseline:g} seed={config.seed}",
        id=arm,
        resume="allow",
        mode=config.tracker.mode,
        dir=str(directory),
        config=config.model_dump(mode="json"),
        settings=wandb.Settings(console="off", silent=True),
    )
    try:
        yield lambda metrics: run.log(
            {k: v for k, v in metrics.items() if v is not None}, step=metrics["step"]
        )
    finally:
        run.finish()
