"""Choose by the settings what makes the shards of a stage: this process, or workers on Ray."""

import contextlib
import functools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from asymreinforce.config import ExperimentConfig
from asymreinforce.engines import open_engine
from asymreinforce.engines.protocol import Engine
from asymreinforce.workers import Workers, in_this_process

if TYPE_CHECKING:
    from asymreinforce.stages.generate import StartEngine


class Generators(TypedDict):
    """The workers that generate, and how a worker starts its engine (None: use the given one)."""

    crew: Workers
    start: "StartEngine | None"


def generation_workers(config: ExperimentConfig) -> Generators:
    """Return this process, or `engine.workers` workers on Ray with one engine each."""
    if config.engine.workers == 1 and not config.ray.address:
        return {"crew": in_this_process, "start": None}
    from asymreinforce.workers.on_ray import OnRay

    crew = OnRay(
        config.ray,
        workers=config.engine.workers,
        cpus=config.engine.threads,
        gpus=config.ray.gpus_per_worker,
        devices=config.engine.tensor_parallel_size,
    )
    logs = (config.directory / "logs").resolve()
    return {"crew": crew, "start": functools.partial(start_worker_engine, config, logs)}


def scoring_workers(config: ExperimentConfig) -> Workers | None:
    """Return `ray.scorers` workers with a pool of graders each; None to score in this process."""
    if not config.ray.scorers:
        return None
    from asymreinforce.workers.on_ray import OnRay

    return OnRay(config.ray, workers=config.ray.scorers, cpus=config.reward.workers or 1)


@contextlib.contextmanager
def start_worker_engine(config: ExperimentConfig, logs: Path) -> Iterator[Engine]:
    """Start a worker's engine, with one log file per process for the output of its library."""
    log = logs / f"engine-{socket.gethostname()}-{os.getpid()}.log"
    with open_engine(config.engine, config.policy, log=log) as engine:
        yield engine
