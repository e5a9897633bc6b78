"""Evaluate every checkpoint of every arm, mu's first, sharing one engine start among many."""

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.task import Split
from asymreinforce.data.store import Store
from asymreinforce.engines import open_engine
from asymreinforce.engines.protocol import Engine
from asymreinforce.errors import AsymreinforceError, InputError
from asymreinforce.experiment import inputs
from asymreinforce.experiment.arms import Arm, arms_of
from asymreinforce.experiment.refusal import traceless
from asymreinforce.interruption import ignore_ctrl_c
from asymreinforce.policy.checkpoint import fingerprint
from asymreinforce.progress import say, watch
from asymreinforce.stages.evaluate import evaluate, evaluation_store, shard_of

CHECKPOINTS_WORTH_A_WORKER = 24
"""An engine takes about ten seconds to start; fewer checkpoints than this are done sooner alone."""


EngineOf = Callable[[ExperimentConfig], Engine]
"""Gives the engine that runs already, or one that starts at its first `load`."""


class Target(NamedTuple):
    """Checkpoints to evaluate in one way: fingerprint -> directory."""

    config: ExperimentConfig
    split: Split
    checkpoints: dict[str, Path]


class Evaluated(NamedTuple):
    """Where the evaluation of an arm's step lies; step 0 is mu."""

    arm: Arm
    split: Split
    step: int
    store: Store
    shard: str
    config: ExperimentConfig
    """The arm's own, with the engine and the evaluation that were asked for."""
    checkpoint: Path


def plan(config: ExperimentConfig) -> list[Evaluated]:
    """Name the evaluation of every checkpoint on disk, under the settings of `config`.

    How to evaluate comes from `config`; what an arm was trained on comes from the arm.
    """
    splits: list[Split] = [config.evaluation.split]
    if config.evaluation.train_prompts:
        splits.append("train")
    found = []
    for arm in arms_of(config.directory):
        settings = arm.config.model_copy(
            update={"evaluation": config.evaluation, "engine": config.engine}
        )
        checkpoint, prompts = inputs.find_init(settings)
        steps = {0: checkpoint} | arm.checkpoints
        only = settings.policy.safetensors_only
        shards = {
            step: shard_of(fingerprint(path, safetensors_only=only)) for step, path in steps.items()
        }
        with open_engine(settings.engine, settings.policy, log=Path(os.devnull)) as engine:
            for split in splits:
                store = evaluation_store(
                    settings,
                    split=split,
                    prompts=prompts,
                    engine=engine,
                    parent=config.directory / "evaluations",
                )
                found += [
                    Evaluated(arm, split, step, store, shards[step], settings, path)
                    for step, path in steps.items()
                ]
    return found


def run_evaluation(
    config: ExperimentConfig, *, engine_of: EngineOf | None = None
) -> list[Evaluated]:
    """Evaluate what is missing, in parallel processes where that pays; return what there is."""
    planned = plan(config)
    if not planned:
        raise InputError(
            f"{config.directory / 'train'}: no complete arm to evaluate; run 'asymrl train' first"
        )
    targets = list(_targets(planned))
    total = sum(len(target.checkpoints) for target in targets)
    stores = {item.store.directory: item.store for item in planned}
    if not total and not [store for store in stores.values() if not store.is_done()]:
        say(f"evaluate: complete, nothing to do ({config.directory / 'evaluations'})")
        return planned
    workers = min(processes(config), max(1, total // CHECKPOINTS_WORTH_A_WORKER))
    wanted = [(item.store, item.shard) for item in planned]

    def count() -> int:
        pending = {(s.directory, shard) for s, shard in wanted if s.receipt(shard) is None}
        return max(0, total - len(pending))

    with traceless(*stores.values()), contextlib.ExitStack() as stack:
        for store in stores.values():
            stack.enter_context(store.held())
            store.plan(i.shard for i in planned if i.store.directory == store.directory)
        with watch("evaluate", total=total, unit="checkpoints", count=count):
            _share_out(targets, workers=workers, engine_of=engine_of)
        for store in stores.values():
            store.close()
    return planned


def _targets(planned: list[Evaluated]) -> Iterator[Target]:
    """Group the missing evaluations by store; a checkpoint that arms share is evaluated once."""
    by_store: dict[Path, Target] = {}
    missing: dict[Path, set[str]] = {}
    for item in planned:
        directory = item.store.directory
        if directory not in missing:
            shards = [other.shard for other in planned if other.store.directory == directory]
            missing[directory] = set(item.store.missing(dict.fromkeys(shards)))
        if item.shard not in missing[directory]:
            continue
        target = by_store.setdefault(directory, Target(item.config, item.split, {}))
        target.checkpoints[item.shard.removesuffix(".parquet")] = item.checkpoint
    yield from by_store.values()


def processes(config: ExperimentConfig) -> int:
    """Return how many processes share out a sweep's work on this machine."""
    if config.sweep.workers:
        return config.sweep.workers
    import torch

    return 1 if torch.cuda.is_available() else os.cpu_count() or 1


def _share_out(targets: list[Target], *, workers: int, engine_of: EngineOf | None) -> None:
    if workers == 1:
        evaluate_targets(targets, engine_of=engine_of)
        return
    parts = [
        [
            target._replace(checkpoints=dict(list(target.checkpoints.items())[worker::workers]))
            for target in targets
        ]
        for worker in range(workers)
    ]
    # spawned, not forked: torch and vLLM hold threads and locks that a fork would break
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=ignore_ctrl_c
    ) as pool:
        try:
            for error in pool.map(_evaluate_part, parts):
                if error:
                    raise error
        except KeyboardInterrupt:
            for worker in active_children():
                worker.kill()  # the pool would wait until they have evaluated all of their parts
            raise


def _evaluate_part(targets: list[Target]) -> AsymreinforceError | None:
    """Evaluate in a worker; a failure that a user can mend comes back as a value."""
    try:
        evaluate_targets(targets)
    except AsymreinforceError as error:
        return error
    return None


def evaluate_targets(targets: list[Target], *, engine_of: EngineOf | None = None) -> None:
    """Evaluate in this process: one engine start for each architecture and context, at most."""
    engines: dict[str, list[Target]] = {}
    for target in targets:
        if target.checkpoints:
            key = target.config.policy.model_dump_json(exclude={"seed"})
            engines.setdefault(key, []).append(target)
    for group in engines.values():
        config = group[0].config
        opened = (
            contextlib.nullcontext(engine_of(config))
            if engine_of
            else open_engine(config.engine, config.policy, log=inputs.engine_log(config))
        )
        with opened as engine:
            for target in group:
                _, prompts = inputs.find_init(target.config)
                store = evaluation_store(
                    target.config,
                    split=target.split,
                    prompts=prompts,
                    engine=engine,
                    parent=target.config.directory / "evaluations",
                )
                evaluate(
                    target.config,
                    checkpoints=target.checkpoints,
                    store=store,
                    prompts=prompts,
                    engine=engine,
                    advance=lambda count: None,
                )


def report_skipped(config: ExperimentConfig) -> None:
    """Name the arms that are not complete, and therefore not evaluated."""
    complete = {arm.name for arm in arms_of(config.directory)}
    for plan_path in sorted((config.directory / "train").glob("*/plan.json")):
        if plan_path.parent.name not in complete:
            say(f"passed over: {plan_path.parent} is not complete, or damaged; train it again")
