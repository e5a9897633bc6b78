"""A sweep: train and evaluate every arm on the same rollouts and verdicts, then summarise.

The caller expands the arms and passes the function that launches them (Hydra's multirun, a
cluster). This module makes the shared inputs first, and builds the summary from disk afterwards.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from asymreinforce.algorithm.table import require_objective
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import determines, files, lease
from asymreinforce.data.arm_settings import FAILURE, read_failure
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, ConfigError
from asymreinforce.experiment import inputs
from asymreinforce.experiment.arm import arm_warnings, mend_settings
from asymreinforce.experiment.arms import TrainedArm, name_arms
from asymreinforce.experiment.evaluated_steps import why_not_evaluated
from asymreinforce.experiment.evaluation import report_passed_over, run_evaluation
from asymreinforce.experiment.open_arm import open_arm
from asymreinforce.experiment.running import Engines
from asymreinforce.experiment.slots import Slot, slots_of
from asymreinforce.experiment.summary import write_summary
from asymreinforce.experiment.watching import watched
from asymreinforce.progress import say
from asymreinforce.rewards.scale import require_reward
from asymreinforce.tracking import require_tracker

Launch = Callable[[Sequence[ExperimentConfig]], None]
"""A function that trains the given arms, and returns when each arm has finished or failed."""


class SweepPlan(NamedTuple):
    """The work of a sweep: one configuration for each set of inputs, and the distinct arms."""

    inputs: list[ExperimentConfig]
    arms: list[ExperimentConfig]


class UnfinishedArm(NamedTuple):
    """An arm that did not finish, its error, and the path of its log."""

    arm: str
    error: str
    log: str


class SweepResult(NamedTuple):
    """The summary of the finished arms, and the arms that did not finish.

    `summary` is None if nothing is evaluated or no arm finished.
    """

    summary: pa.Table | None
    failed: list[UnfinishedArm]
    trained: int = 0
    """The number of arms that finished and are not evaluated."""

    @property
    def is_reportable(self) -> bool:
        """Whether a report can be written: an arm was evaluated or trained."""
        return self.summary is not None or self.trained > 0


def plan_sweep(arms: Sequence[ExperimentConfig]) -> SweepPlan:
    """Return each distinct set of inputs once, and each distinct arm once.

    Raises `ConfigError` if the arms belong to several experiment directories.
    """
    if len({arm.directory for arm in arms}) > 1:
        raise ConfigError("the arms of one sweep share one experiment; sweep name in a shell loop")
    distinct: dict[str, ExperimentConfig] = {}
    for arm in arms:
        distinct.setdefault(determines.key_of(arm, determines.ARM), arm)
    sets = {determines.key_of(arm, determines.VERDICTS): arm for arm in distinct.values()}
    return SweepPlan(list(sets.values()), list(distinct.values()))


def training_slots(arms: Sequence[ExperimentConfig], *, sample: bool = False) -> list[Slot]:
    """Return the slots in which this machine trains the arms, and samples from them if `sample`.

    Raises `ConfigError` if the machine has too few devices to train an arm; if all arms are
    complete, returns an empty list instead.
    """
    try:
        return slots_of(arms, train=True, sample=sample)
    except ConfigError:
        if _are_complete(arms):
            return []
        raise


def _are_complete(arms: Sequence[ExperimentConfig]) -> bool:
    try:
        return all(open_arm(config).store.is_done() for config in arms)
    except AsymreinforceError:  # the inputs are not there
        return False


def run_sweep(
    arms: Sequence[ExperimentConfig],
    *,
    launch: Launch,
    engines: Engines | None = None,
    launch_speaks: bool = False,
) -> SweepResult:
    """Make the shared inputs, `launch` the incomplete arms, evaluate them, and summarise.

    The progress of arms is shown while they train, unless `launch` shows it (`launch_speaks`).
    """
    planned = prepare_sweep(arms, engines=engines)
    stores, failed = train_waiting(planned.arms, launch=launch, launch_speaks=launch_speaks)
    if len(failed) == len(stores):
        return SweepResult(None, failed)
    known = {arm.arm for arm in failed}
    left_out = [a for a in report_passed_over(arms[0]) if a.directory.name not in known]
    failed += [UnfinishedArm(a.directory.name, a.reason, "") for a in left_out if a.was_complete]
    if reason := why_not_evaluated(arms[0]):
        say(f"not evaluated: {reason}")
        return SweepResult(None, failed, trained=sum(store.is_complete() for store in stores))
    evaluated = run_evaluation(arms[0], engines=engines)
    return SweepResult(write_summary(arms[0], evaluated), failed)


def prepare_sweep(arms: Sequence[ExperimentConfig], *, engines: Engines | None = None) -> SweepPlan:
    """Check the settings of arms, make their shared inputs, and print warnings about them."""
    planned = plan_sweep(arms)
    require_tracker(arms[0])
    for config in planned.arms:  # checked first, because generating rollouts is expensive
        require_objective(config.algorithm, baseline_reference=config.baseline_reference)
        require_reward(config.reward)
        inputs.require_graders(config)
    # swept settings that make no difference between arms
    if len(planned.arms) < len(arms) and (names := determines.idle_settings(arms)):
        say(
            f"sweep: {', '.join(names)} makes no difference between some of the {len(arms)} arms; "
            f"{len(planned.arms)} distinct arms are left"
        )
    if fixed := shared_seeds(planned.arms):
        say(
            f"warning: replicates share {' and '.join(fixed)}, given here or by an earlier "
            "command; leave it out, or set it to null, for replicates that differ in it"
        )
    for config in planned.inputs:
        inputs.prepare_inputs(config, engine=engines.of(config) if engines else None)
    for warning in dict.fromkeys(w for config in planned.arms for w in arm_warnings(config)):
        say(f"warning: {warning}")
    return planned


def shared_seeds(arms: Sequence[ExperimentConfig]) -> list[str]:
    """Return the seeds, such as `policy.seed=4`, that are the same in several replicates."""
    if len({arm.replicate for arm in arms}) < 2:
        return []
    seeds = {
        "seed": {arm.seed for arm in arms},
        "policy.seed": {arm.policy.seed for arm in arms},
        "sampling.seed": {arm.sampling.seed for arm in arms},
    }
    return [f"{key}={values.pop()}" for key, values in seeds.items() if len(values) == 1]


def train_waiting(
    arms: Sequence[ExperimentConfig],
    *,
    launch: Launch,
    launch_speaks: bool = False,
    what: str = "sweep",
) -> tuple[list[Store], list[UnfinishedArm]]:
    """Launch the arms that are not complete; return the stores of all arms and the failed arms.

    The inputs of the arms exist. `what` begins the line that is printed.
    """
    # inputs made by different settings may have the same bytes; arms on them are the same arm
    arm_of = {arm.store.hash: (arm.config, arm.store) for arm in map(open_arm, arms)}
    stores = [store for _, store in arm_of.values()]
    waiting = [store for store in stores if not store.is_done()]
    for config, store in arm_of.values():
        if store not in waiting:
            mend_settings(config, store)
    say(f"{what}: {len(stores)} arms, {len(stores) - len(waiting)} complete already")
    if waiting:
        for store in waiting:
            # else the failure of an earlier run would be shown as a failure of this run
            files.remove_path(store.directory / FAILURE)
        names = _names(arm_of.values(), waiting)
        shown = watched(names, total=len(stores))
        with contextlib.nullcontext() if launch_speaks else shown:
            launch([config for config, store in arm_of.values() if store in waiting])
    failed = [_failure_of(store.directory) for store in waiting if not store.is_complete()]
    return stores, failed


def _names(
    arms: Iterable[tuple[ExperimentConfig, Store]], waiting: Sequence[Store]
) -> dict[Path, str]:
    """Name the waiting arms by the settings in which the arms of the sweep differ."""
    of_all = [TrainedArm(store, config) for config, store in arms]
    names = name_arms(of_all)
    return {arm.store.directory: names[arm.name] for arm in of_all if arm.store in waiting}


def _failure_of(directory: Path) -> UnfinishedArm:
    if failure := read_failure(directory):
        return UnfinishedArm(directory.name, failure.error, failure.log)
    if working := lease.current_holder(directory):
        return UnfinishedArm(directory.name, f"{working.line} works on it", "")
    return UnfinishedArm(directory.name, "did not finish; run the same sweep again to go on", "")
