"""Read an experiment directory into plain records; absent files are left out.

A damaged file is an error, because a report that silently leaves the file out would mislead.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from asymreinforce.config.settings import flatten_settings
from asymreinforce.data import contracts, determines, files
from asymreinforce.data.arm_settings import CONFIG, FAILURE, Failure
from asymreinforce.errors import InputError
from asymreinforce.report.records import (
    REPORTED_SPLITS,
    ArmOutcome,
    Checkpoint,
    Experiment,
    ReportedArm,
    Series,
    SeriesPoint,
)
from asymreinforce.report.suites import read_suite_rows, suite_series
from asymreinforce.rewards.warnings import FILE, RunFacts, facts_from

METRICS = (
    "slice_logp_correct",
    "slice_logp_incorrect",
    "logp_correct",
    "logp_incorrect",
    "token_entropy",
    "kl",
    "ess",
    "baseline",
)
RETRAIN = "delete the arm and train it again"
Flat = Mapping[str, Any]
_ABSENT = object()


def read_experiment(directory: Path) -> Experiment:
    """Read the settings, metrics, curves, summary and failures of each arm in `runs/<name>`.

    Raises `InputError` if the directory is absent or holds no trained arm (the message says which
    command to run), or if a file in the directory is damaged or of another version.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such experiment; {_how_to_make(directory)}")
    started = {path.parent.name for path in (directory / "train").glob("*/*.json")}
    curves = _read_rows(directory / "curves.parquet", contracts.CURVES)
    summary = {
        row["arm"]: row for row in _read_rows(directory / "summary.parquet", contracts.SUMMARY)
    }
    ids = sorted({*started, *summary, *(row["arm"] for row in curves)})
    if not ids:
        raise InputError(f"{directory}: no trained arm to report; {_how_to_make(directory)}")

    checkpoints: dict[str, list[Checkpoint]] = {id_: [] for id_ in ids}
    facts: dict[str, Mapping[str, Any]] = {}
    for row in curves:
        checkpoint = Checkpoint(**{name: row[name] for name in Checkpoint._fields})
        checkpoints[row["arm"]].append(checkpoint)
        facts[row["arm"]] = row
    facts |= summary
    plans = {id_: _read_identity(directory / "train" / id_ / "plan.json") for id_ in ids}
    settings = {id_: _read_settings(directory / "train" / id_ / CONFIG) for id_ in ids}
    # arms of the summary come first, so that a twin is dropped rather than its reported arm
    ids = _leave_out_twins(sorted(ids, key=lambda id_: (id_ not in summary, id_)), plans, settings)
    known = {id_: settings[id_] for id_ in ids if settings[id_]}
    differing = determines.differing_settings(known)
    suites = suite_series(read_suite_rows(directory))
    arms = (
        ReportedArm(
            id=id_,
            **_arm_identity(facts.get(id_) or plans[id_], settings[id_]),
            settings=settings[id_],
            differing=differing[id_] if id_ in known else _read_overrides(facts.get(id_)),
            outcome=_arm_outcome(summary.get(id_), checkpoints[id_]),
            checkpoints=tuple(sorted(checkpoints[id_])),
            metrics=_read_metrics(directory / "train" / id_ / "metrics"),
            failure=_read_failure(directory / "train" / id_ / FAILURE),
            facts=_read_facts(directory / "train" / id_ / FILE),
            suites=suites.get(id_, {}),
        )
        for id_ in ids
    )
    ordered = tuple(sorted(arms, key=_sort_key))
    return Experiment(
        directory, directory.resolve().name, ordered, _shared_settings(known.values())
    )


def _leave_out_twins(
    ids: Sequence[str], plans: Mapping[str, Flat], settings: Mapping[str, Flat]
) -> list[str]:
    """Leave out arms that differ from an earlier arm only in a baseline that has no effect."""
    first: dict[str, str] = {}
    for id_ in ids:
        own = determines.determining_settings(settings[id_], determines.ARM)
        # only an objective without a baseline can give the same arm twice
        may_have_twin = plans[id_] and own and "baseline" not in own
        first.setdefault(f"{determines.same_arm(plans[id_])} {own}" if may_have_twin else id_, id_)
    return sorted(first.values())


def _how_to_make(directory: Path) -> str:
    # runs is the default of runs_dir
    place = "" if directory.parent == Path("runs") else f" runs_dir={directory.parent}"
    return (
        f"run 'asymrl sweep name={directory.name}{place}' first, "
        f"or 'asymrl train name={directory.name}{place}' for a single arm"
    )


def _sort_key(arm: ReportedArm) -> tuple[Any, ...]:
    baseline = arm.baseline if arm.uses_baseline and arm.baseline is not None else float("inf")
    differing = str(sorted(arm.differing.items(), key=lambda item: item[0]))
    return (not arm.uses_baseline, arm.algorithm, baseline, arm.policy_seed, arm.seed, differing)


def _read_settings(path: Path) -> dict[str, Any]:
    """Return an arm's resolved configuration, flat; empty if the file is absent."""
    return flatten_settings(_read_object(path, advice=RETRAIN) or {})


def _read_identity(path: Path) -> dict[str, Any]:
    """Return the identity in an arm's plan, flat; empty if the arm failed before its plan."""
    plan = _read_object(path, advice=RETRAIN)
    if plan is None:
        return {}
    if not isinstance(identity := plan.get("identity"), dict):
        raise InputError(f"{path}: not a plan; {RETRAIN}")
    return flatten_settings(identity)


def _read_object(path: Path, *, advice: str) -> dict[str, Any] | None:
    """Read a JSON object; None if the file is absent."""
    if not path.exists():
        return None
    value = files.read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object; {advice}")
    return value


def _read_rows(path: Path, contract: contracts.Contract) -> list[dict[str, Any]]:
    return list(contracts.read_table(path, contract).to_pylist()) if path.exists() else []


def _shared_settings(settings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that are the same in every arm."""
    first, *others = list(settings) or [{}]
    return {
        key: value
        for key, value in first.items()
        if all(other.get(key, _ABSENT) == value for other in others)
    }


def _read_overrides(facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the overrides in an arm's summary row, for an arm without a configuration file."""
    text = facts.get("overrides") if facts else None
    if not text:
        return {}
    try:
        values = json.loads(text)
    except ValueError:
        raise InputError(
            f"summary.parquet: overrides is not JSON ({text[:80]!r}); run 'asymrl sweep' again"
        ) from None
    return flatten_settings(values) if isinstance(values, dict) else {}


def _arm_identity(facts: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return an arm's objective, baseline and seeds from its table row or plan, else settings."""

    def first(*names: str, default: Any) -> Any:
        known = (source[name] for source in (facts, settings) for name in names if name in source)
        return next(known, default)

    return {
        "algorithm": str(first("algorithm", "algorithm.name", default="asymre")),
        "baseline": first("baseline", default=None),
        "baseline_reference": str(first("baseline_reference", default="group_mean")),
        "seed": first("seed", default=0),
        "policy_seed": first("policy_seed", "policy.seed", default=0),
        "sampling_seed": first("sampling_seed", "sampling.seed", default=0),
    }


def _arm_outcome(row: Mapping[str, Any] | None, checkpoints: list[Checkpoint]) -> ArmOutcome | None:
    """Return an arm's outcome from its summary row, else from its checkpoints."""
    if row:
        return ArmOutcome(**{name: row[name] for name in ArmOutcome._fields})
    for split in REPORTED_SPLITS:
        evaluated = sorted(point for point in checkpoints if point.split == split)
        if evaluated:
            return _outcome_of(evaluated)
    return None


def _outcome_of(evaluated: list[Checkpoint]) -> ArmOutcome:
    last, peak = evaluated[-1], max(evaluated, key=lambda point: point.accuracy)
    values: dict[str, Any] = {name: getattr(last, name, None) for name in ArmOutcome._fields}
    values["behaviour_accuracy"] = evaluated[0].accuracy if evaluated[0].step == 0 else None
    return ArmOutcome(**values | {"peak_accuracy": peak.accuracy, "peak_step": peak.step})


def _read_metrics(directory: Path) -> dict[str, Series]:
    """Read an arm's metrics; there are thousands of small files in an experiment."""
    # one after the other: opening files and checking headers is most of the work, and threads
    # would only wait for each other
    columns = ["step", "staleness", *METRICS]
    tables = [
        contracts.read_table(path, contracts.METRICS, columns=columns)
        for path in sorted(directory.glob("step-*.parquet"))
    ]
    return _metric_series(pa.concat_tables(tables).to_pylist()) if tables else {}


def _metric_series(rows: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Turn rows into one series per metric; the later row counts if a step was run again."""
    # at the start of a later round KL and ESS compare pi with itself, so the row says nothing
    by_step = {row["step"]: row for row in rows if not is_start_of_a_later_round(row)}
    series = {
        name: tuple(
            SeriesPoint(step, row[name])
            for step, row in sorted(by_step.items())
            if row[name] is not None
        )
        for name in METRICS
    }
    return {name: points for name, points in series.items() if points}


def is_start_of_a_later_round(row: Mapping[str, Any]) -> bool:
    """Tell whether mu was refreshed at this step, so that the metrics compare pi with itself."""
    return bool(row["step"] > 0 and row.get("staleness") == 0)


def _read_facts(path: Path) -> RunFacts | None:
    if not path.exists():
        return None
    try:
        return facts_from(files.read_json(path))
    except (KeyError, TypeError):
        return None  # of another version, and only warnings are made of it


def _read_failure(path: Path) -> Failure | None:
    value = _read_object(path, advice="delete it and run 'asymrl sweep' again")
    if value is None:
        return None
    return Failure(str(value.get("error", "no reason was recorded")), str(value.get("log", "")))
