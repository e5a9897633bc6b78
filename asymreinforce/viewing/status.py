"""Show the progress of an experiment, whether or not it is running, from its small files.

Nothing is verified: no shard is read, and neither torch nor pyarrow is loaded.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.config import parse_config
from asymreinforce.data import files, lease
from asymreinforce.data.arm_progress import ArmProgress, read_progress
from asymreinforce.data.arm_settings import CONFIG, read_failure
from asymreinforce.data.lease import Holder
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, InputError
from asymreinforce.experiment.arms import TrainedArm, name_arms

SHARED = {
    "prompts": "init",
    "policy": "init",
    "rollouts": "generate",
    "verdicts": "score",
    "evaluations": "evaluate",
}
"""Stages other than training, in the order of the pipeline, with the command for each."""
RESULTS = ("summary.parquet", "report.html")


class StageStatus(NamedTuple):
    """The progress of one stage, over all its directories."""

    stage: str
    sets: int
    complete: int
    """Sets that are complete."""
    shards: int
    planned: int
    holder: Holder | None
    """The process that works on one of the sets."""

    @property
    def words(self) -> str:
        """The progress in a few words."""
        if not self.sets:
            return "not begun"
        sets = f"{self.sets} sets, " if self.sets > 1 else ""
        if self.complete == self.sets:
            how_far = "complete"
        else:
            how_far = f"{self.shards} of {self.planned} shards"
        return sets + how_far + (f"; {self.holder.line} works on it" if self.holder else "")


class ArmStatus(NamedTuple):
    """The state of an arm (running, done, stopped or failed), with a reason in one line."""

    arm: str
    name: str
    """The arm's name, made of the settings in which arms differ."""
    state: str
    reason: str
    progress: ArmProgress | None
    facts: dict[str, Any]
    """The facts of the arm's final manifest; empty unless the arm is done."""


class Status(NamedTuple):
    """The progress of an experiment: its stages, arms and results."""

    directory: Path
    stages: list[StageStatus]
    arms: list[ArmStatus]
    results: list[str]
    """The names of result files that exist."""

    @property
    def counts(self) -> Counter[str]:
        """The number of arms in each state."""
        return Counter(arm.state for arm in self.arms)

    @property
    def line(self) -> str:
        """The current activity of the experiment, or the work that is left, in one line."""
        counts = self.counts
        of_arms = ", ".join(
            f"{counts[state]} {state}"
            for state in ("done", "running", "stopped", "failed")
            if counts[state]
        )
        busy = [stage for stage in self.stages if stage.holder]
        if counts["running"]:
            return f"training: arms {of_arms}"
        if busy:
            return f"'asymrl {SHARED[busy[0].stage]}' is at work on {busy[0].stage}"
        if counts["stopped"] or counts["failed"]:
            return f"nothing runs: arms {of_arms}"
        unfinished = [stage for stage in self.stages if stage.complete < stage.sets]
        if unfinished:
            return f"nothing runs: {unfinished[0].stage} are incomplete"
        if self.arms:
            end = "evaluated and summarised" if self.results else "not evaluated yet"
            return f"nothing runs: arms {of_arms}; {end}"
        return "nothing runs: no arm is trained yet"


def read_status(directory: Path) -> Status:
    """Read the progress of an experiment; raises `InputError` if the directory holds none."""
    stages = [_stage(directory, stage) for stage in SHARED]
    arms = _arms(directory)
    if not (arms or any(stage.sets for stage in stages)):
        raise InputError(
            f"{directory}: holds no experiment; name the directory of an experiment that has "
            "started, such as runs/cups"
        )
    results = [name for name in RESULTS if (directory / name).exists()]
    return Status(directory, stages, arms, results)


def _stage(directory: Path, stage: str) -> StageStatus:
    places = sorted(path.parent for path in (directory / stage).glob("*/plan.json"))
    complete = shards = planned = 0
    holder = None
    for place in places:
        names = _planned(place)
        planned += len(names)
        shards += sum((place / f"{name}.receipt").exists() for name in names)
        complete += (place / "manifest.json").exists()
        holder = holder or lease.current_holder(place)
    return StageStatus(stage, len(places), complete, shards, planned, holder)


def _planned(place: Path) -> tuple[str, ...]:
    try:
        return Store.open(place).planned
    # a damaged or unfinished plan is shown as no shards: a status must not fail on it
    except AsymreinforceError:
        return ()


def _arms(directory: Path) -> list[ArmStatus]:
    places = sorted(path.parent for path in (directory / "train").glob("[!.]*/*.json"))
    places = list(dict.fromkeys(places))  # an arm has several JSON files
    readable = [arm for place in places if (arm := _readable(place))]
    names = name_arms(readable) if readable else {}
    order = {arm.name: (arm.config.baseline, arm.config.seed) for arm in readable}
    arms = [_arm(place, names.get(place.name, place.name)) for place in places]
    return sorted(arms, key=lambda arm: (arm.arm not in order, order.get(arm.arm, ()), arm.name))


def _readable(place: Path) -> TrainedArm | None:
    """Return an arm with its settings, if both can be read."""
    try:
        return TrainedArm(Store.open(place), parse_config(files.read_json(place / CONFIG)))
    except (AsymreinforceError, TypeError, AttributeError):
        return None


def _arm(place: Path, name: str) -> ArmStatus:
    progress = read_progress(place)
    facts: dict[str, Any] = {}
    if holder := lease.current_holder(place):
        if (place / "manifest.json").exists():
            return ArmStatus(place.name, name, "done", f"{holder.line} has it", progress, facts)
        return ArmStatus(place.name, name, "running", holder.line, progress, facts)
    if (place / "manifest.json").exists():
        state, reason, facts = "done", "", _facts(place)
        if progress is None and isinstance(steps := facts.get("steps"), int):
            progress = ArmProgress(steps, steps, "done")  # trained before progress was written
        if step := facts.get("collapse_step"):
            reason = f"collapsed at step {step}"
    elif failure := read_failure(place):
        state, reason = "failed", failure.first_line
    elif progress is None:
        state, reason = "stopped", "before its first step"
    elif progress.state == "running":
        state = "stopped"
        reason = f"process {progress.process} on {progress.host} ended without a reason"
    else:
        state, reason = progress.state, progress.reason
    return ArmStatus(place.name, name, state, reason, progress, facts)


def _facts(place: Path) -> dict[str, Any]:
    try:
        return Store.open(place).facts
    except AsymreinforceError:
        return {}


def as_json(status: Status) -> str:
    """Return the status as a JSON object with `stages` and `arms`; unknown numbers are null."""
    stages = {
        stage.stage: {
            **{key: value for key, value in stage._asdict().items() if key not in OWN_FORM},
            "holder": stage.holder and _holder(stage.holder),
        }
        for stage in status.stages
    }
    arms = [
        {
            **{key: value for key, value in arm._asdict().items() if key != "progress"},
            "progress": arm.progress and arm.progress._asdict(),
        }
        for arm in status.arms
    ]
    values = {
        "directory": str(status.directory),
        "line": status.line,
        "stages": stages,
        "counts": status.counts,
        "arms": arms,
        "results": status.results,
    }
    return json.dumps(values, indent=2)


OWN_FORM = ("stage", "holder")


def _holder(holder: Holder) -> dict[str, Any]:
    shown = ("host", "pid", "since", "command")
    return {name: getattr(holder, name) for name in shown}
