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
SHOWN_OF_A_HOLDER = ("host", "pid", "since", "command")
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
    facts: dict[str, Any]
    """The facts of the arm's final manifest; empty unless the arm is done."""
    progress: ArmProgress | None


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
        store = _open_or_none(place)  # a damaged plan is shown as no shards
        names = store.planned if store else ()
        planned += len(names)
        shards += sum((place / f"{name}.receipt").exists() for name in names)
        complete += (place / "manifest.json").exists()
        holder = holder or lease.current_holder(place)
    return StageStatus(stage, len(places), complete, shards, planned, holder)


def _open_or_none(place: Path) -> Store | None:
    """Open a stage; None if its plan is damaged or unfinished, on which a status must not fail."""
    try:
        return Store.open(place)
    except AsymreinforceError:
        return None


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
    progress, facts = read_progress(place), {}
    if not lease.current_holder(place) and (place / "manifest.json").exists():
        store = _open_or_none(place)
        facts = store.facts if store else {}
        if progress is None and isinstance(steps := facts.get("steps"), int):
            progress = ArmProgress(steps, steps, "done")  # trained before progress was written
    state, reason = _state_of(place, progress, facts)
    return ArmStatus(place.name, name, state, reason, facts, progress)


def _state_of(place: Path, progress: ArmProgress | None, facts: dict[str, Any]) -> tuple[str, str]:
    """Return an arm's state and the reason for it."""
    is_done = (place / "manifest.json").exists()
    if holder := lease.current_holder(place):
        return ("done", f"{holder.line} has it") if is_done else ("running", holder.line)
    if is_done:
        step = facts.get("collapse_step")
        return "done", f"collapsed at step {step}" if step else ""
    if failure := read_failure(place):
        return "failed", failure.first_line
    if progress is None:
        return "stopped", "before its first step"
    if progress.state == "running":
        return "stopped", f"process {progress.process} on {progress.host} ended without a reason"
    return progress.state, progress.reason


def as_json(status: Status) -> str:
    """Return the status as a JSON object with `stages` and `arms`; unknown numbers are null."""
    stages = {}
    for stage in status.stages:
        name, holder = stage.stage, stage.holder
        shown = holder and {key: getattr(holder, key) for key in SHOWN_OF_A_HOLDER}
        stages[name] = stage._asdict() | {"holder": shown}
        del stages[name]["stage"]
    arms = [
        arm._asdict() | {"progress": arm.progress and arm.progress._asdict()} for arm in status.arms
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
