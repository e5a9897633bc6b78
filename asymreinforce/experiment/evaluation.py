"""Evaluate every checkpoint of every arm, step 0 (mu) first; checkpoints share engine starts."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.task import Split
from asymreinforce.data import determines
from asymreinforce.errors import AsymreinforceError, ConfigError, EngineError, InputError
from asymreinforce.experiment import inputs
from asymreinforce.experiment.arms import PassedOver, survey_arms
from asymreinforce.experiment.children import free_cached_memory, work_in_slots
from asymreinforce.experiment.cleanup import remove_if_refused
from asymreinforce.experiment.evaluated_steps import (
    EvaluatedStep,
    plan_evaluation,
    stores_of,
    why_not_evaluated,
)
from asymreinforce.experiment.running import Engines
from asymreinforce.experiment.slots import Slot, slots_of
from asymreinforce.progress import say, watch_progress
from asymreinforce.stages.evaluate import evaluate

CHECKPOINTS_WORTH_A_PROCESS = 24
"""On the CPU an engine takes about ten seconds of every core to start, so one process evaluates
fewer checkpoints than this sooner than two processes do."""


SHOWN = 5
"""The most settings that an error message names."""


class EvaluationTarget(NamedTuple):
    """Checkpoints to evaluate under one configuration; `checkpoints`: fingerprint -> directory."""

    config: ExperimentConfig
    split: Split
    checkpoints: dict[str, Path]


def run_evaluation(
    config: ExperimentConfig, *, engines: Engines | None = None
) -> list[EvaluatedStep]:
    """Run the missing evaluations, in parallel processes if that is faster; return all.

    Raises `ConfigError` if the settings evaluate no question, or if no arm was made with their
    task, source, policy or reward, and `InputError` if no arm is complete.
    """
    if reason := why_not_evaluated(config):
        raise ConfigError(f"nothing to evaluate on: {reason}")
    if any((config.directory / "train").glob("*/manifest.json")):
        # suites may be added after arms were trained, so their prompts may be missing
        inputs.prepare_suites(config)
    planned = plan_evaluation(config)
    if not planned:
        raise InputError(
            f"{config.directory / 'train'}: no complete arm to evaluate; run 'asymrl train' first"
        )
    _require_heard(config, planned)
    targets = list(_missing_targets(planned))
    total = sum(len(target.checkpoints) for target in targets)
    stores = {item.store.directory: item.store for item in planned}
    if not total and not [store for store in stores.values() if not store.is_done()]:
        say(f"evaluate: complete, nothing to do ({config.directory / 'evaluations'})")
        return planned
    slots = evaluation_slots(config, checkpoints=total) if total else []
    wanted = [(item.store, item.shard) for item in planned]

    def count() -> int:
        pending = {(s.directory, shard) for s, shard in wanted if s.receipt(shard) is None}
        return max(0, total - len(pending))

    with remove_if_refused(*stores.values()), contextlib.ExitStack() as stack:
        for store in stores.values():
            stack.enter_context(store.held())
            store.plan(i.shard for i in planned if i.store.directory == store.directory)
        with watch_progress("evaluate", total=total, unit="checkpoints", count=count):
            _share_out(targets, slots=slots, engines=engines)
        for store in stores.values():
            store.close()
    return planned


def _require_heard(config: ExperimentConfig, planned: list[EvaluatedStep]) -> None:
    """Raise `ConfigError` if the settings name a task, grader or reward that no arm was made with.

    An arm is evaluated by its own task, grader and reward, so other values would have no effect.
    """
    wanted = determines.flat_settings(config)
    keys = [key for key in wanted if _decides_verdicts(key, wanted)]
    made_with = [determines.flat_settings(item.arm.config) for item in planned]
    differing = min(
        (
            [key for key in keys if not determines.is_same_value(wanted[key], own.get(key))]
            for own in made_with
        ),
        key=len,
    )
    if differing:
        said = ", ".join(f"{key}={wanted[key]}" for key in differing[:SHOWN])
        raise ConfigError(
            f"{config.directory / 'train'}: no arm was made with {said}, and an arm is evaluated "
            "under its own settings; 'asymrl train' with the same settings makes such an arm"
        )


def _decides_verdicts(key: str, settings: determines.Flat) -> bool:
    """Tell whether a setting determines questions, policy, grader or reward of an arm.

    Other settings take effect (engine, evaluation) or play no part (how rollouts are drawn).
    """
    is_of_arm = key.partition(".")[0] in ("task", "source", "policy", "reward")
    return is_of_arm and determines.first_product(key, settings) <= determines.ARM


def _missing_targets(planned: list[EvaluatedStep]) -> Iterator[EvaluationTarget]:
    """Group the missing evaluations by store, each checkpoint once even if arms share it."""
    by_store: dict[Path, EvaluationTarget] = {}
    missing: dict[Path, set[str]] = {}
    for item in planned:
        directory = item.store.directory
        if directory not in missing:
            shards = [other.shard for other in planned if other.store.directory == directory]
            missing[directory] = set(item.store.missing(dict.fromkeys(shards)))
        if item.shard not in missing[directory]:
            continue
        target = by_store.setdefault(directory, EvaluationTarget(item.config, item.split, {}))
        target.checkpoints[item.shard.removesuffix(".parquet")] = item.checkpoint
    yield from by_store.values()


def evaluation_slots(config: ExperimentConfig, *, checkpoints: int) -> list[Slot]:
    """Return one slot for each process that evaluates a share of the checkpoints.

    Raises `ConfigError` if an engine needs more CUDA devices than this machine shows.
    """
    slots = slots_of([config], sample=True)
    worth = checkpoints if slots[0] else checkpoints // CHECKPOINTS_WORTH_A_PROCESS
    return slots[: max(1, worth)]


def _share_out(
    targets: list[EvaluationTarget], *, slots: list[Slot], engines: Engines | None
) -> None:
    if len(slots) <= 1:
        if not engines:
            free_cached_memory()
        evaluate_targets(targets, engines=engines)
        return
    if engines:
        # the children need the memory of the devices
        engines.close()
    for outcome in work_in_slots(_evaluate_part, _split_targets(targets, len(slots)), slots=slots):
        if outcome.error:
            raise EngineError(
                f"a process that evaluates failed: {outcome.error}; run the same command again to "
                "go on"
            )
        if outcome.value:
            raise outcome.value


def _split_targets(targets: list[EvaluationTarget], count: int) -> list[list[EvaluationTarget]]:
    """Deal the checkpoints of all targets to `count` parts, in turn."""
    parts: list[list[EvaluationTarget]] = [[] for _ in range(count)]
    # one count for all targets: else targets of few checkpoints would all fall to the first parts
    turn = itertools.count()
    for target in targets:
        shares: list[dict[str, Path]] = [{} for _ in range(count)]
        for name, checkpoint in target.checkpoints.items():
            shares[next(turn) % count][name] = checkpoint
        for part, share in zip(parts, shares, strict=True):
            part.append(target._replace(checkpoints=share))
    return parts


def _evaluate_part(targets: list[EvaluationTarget]) -> AsymreinforceError | None:
    """Evaluate in a child process; return an error that the user can fix, else None."""
    try:
        evaluate_targets(targets)
    except AsymreinforceError as error:
        return error
    return None


def evaluate_targets(targets: list[EvaluationTarget], *, engines: Engines | None = None) -> None:
    """Evaluate in this process, with at most one engine start for each architecture and context."""
    waiting = [target for target in targets if target.checkpoints]
    # targets of one architecture follow each other, since an engine starts anew for another one
    waiting.sort(key=lambda target: target.config.policy.model_dump_json(exclude={"seed"}))
    with Engines() as own_engines:
        for target in waiting:
            engine = (engines or own_engines).of(target.config)
            _, prompts = inputs.find_init(target.config)
            store = stores_of(target.config, prompts=prompts)[target.split]
            with store.held():  # a child shares the lease that the parent command holds
                evaluate(
                    target.config,
                    checkpoints=target.checkpoints,
                    store=store,
                    prompts=prompts,
                    engine=engine,
                    advance=lambda count: None,
                )


def report_passed_over(config: ExperimentConfig) -> list[PassedOver]:
    """Print each arm that is not evaluated with the reason; return these arms."""
    passed_over = survey_arms(config.directory).passed_over
    for arm in passed_over:
        say(f"passed over: {arm.directory}: {arm.reason}")
    return passed_over
