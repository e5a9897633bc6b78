"""Build the summary from disk: a row for each arm, for each evaluated checkpoint, for each suite.

All arms and checkpoints share the prompts and the seed of an evaluation, so differences to mu are
paired over prompts. The rows of suites include the main evaluation, at the checkpoints at which a
suite was evaluated.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from asymreinforce.algorithm.ending import verdict
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts, files
from asymreinforce.data.values import finite_or_none
from asymreinforce.errors import AsymreinforceError
from asymreinforce.experiment.arms import TrainedArm, overrides_of
from asymreinforce.experiment.evaluated_steps import EvaluatedStep
from asymreinforce.rewards import majority
from asymreinforce.rewards.sums import Sums, read_sums, standard_error

SUMMARY_PARQUET, SUMMARY_JSON = "summary.parquet", "summary.json"
CURVES_PARQUET, SUITES_PARQUET = "curves.parquet", "suites.parquet"
MEASURES = ("accuracy", "accuracy_se", "k", "pass_at_k", "length", "truncated")
"""Fields of `Sums` that are columns of every table."""


def write_summary(config: ExperimentConfig, evaluated: Sequence[EvaluatedStep]) -> pa.Table:
    """Write `curves.parquet`, `summary.parquet` and `summary.json`; return the summary.

    `suites.parquet` is written as well if suites were evaluated.
    """
    # each evaluation is read once: step 0 (mu) is shared by all arms
    items = {item.path: item for item in evaluated}
    sums = {p: read_sums(item.store, item.shard, config.reward) for p, item in items.items()}
    main = [item for item in evaluated if item.suite is None]
    arms = {item.arm.name: item.arm for item in main}
    overrides = overrides_of(list(arms.values()))
    curves: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    for name, arm in arms.items():
        own = sorted(
            (item for item in main if item.arm.name == name),
            key=lambda item: (item.split, item.step),
        )
        curves += [_curve_row(config, item, sums[item.path]) for item in own]
        steps = {
            item.step: sums[item.path] for item in own if item.split == config.evaluation.split
        }
        summary.append(_summary_row(arm, steps, json.dumps(overrides[name], sort_keys=True)))
    summary.sort(key=_row_order)
    files.remove_leftovers(config.directory, below=False)
    if suites := _suite_rows(config, evaluated, sums):
        _publish(config.directory / SUITES_PARQUET, contracts.SUITES, suites)
    _publish(config.directory / CURVES_PARQUET, contracts.CURVES, curves)
    table = _publish(config.directory / SUMMARY_PARQUET, contracts.SUMMARY, summary)
    files.publish_json(config.directory / SUMMARY_JSON, summary)
    return table


def _arm_columns(arm: TrainedArm) -> dict[str, Any]:
    """Return the columns that identify an arm."""
    return {
        "arm": arm.name,
        "algorithm": arm.config.algorithm.name,
        "baseline": arm.config.baseline,
        "baseline_reference": arm.config.baseline_reference,
        "seed": arm.config.seed,
        "policy_seed": arm.config.policy.seed,
        "sampling_seed": arm.config.sampling.seed,
    }


def _row_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["algorithm"], row["baseline"], row["seed"], row["arm"]


def _measures(sums: Sums, *more: str) -> dict[str, Any]:
    return {name: getattr(sums, name) for name in (*MEASURES, *more)}


def _curve_row(config: ExperimentConfig, item: EvaluatedStep, sums: Sums) -> dict[str, Any]:
    return _arm_columns(item.arm) | {
        "split": item.split,
        "step": item.step,
        "prompts": len(sums.kept_P),
        **_measures(sums, "entropy", "distinct_answers"),
        "evaluation": str(item.path.relative_to(config.directory)),
    }


def _summary_row(arm: TrainedArm, steps: Mapping[int, Sums], overrides: str) -> dict[str, Any]:
    mu, last = steps[0], steps[arm.last_step]
    accuracies = {step: steps[step].accuracy for step in sorted(steps)}
    # step 0 is mu and no result of training
    peak_step = max(filter(None, accuracies), key=accuracies.__getitem__)
    difference_se = standard_error(last.accuracy_P - mu.accuracy_P)
    return _arm_columns(arm) | {
        "overrides": overrides,
        "step": arm.last_step,
        "behaviour_accuracy": mu.accuracy,
        **_measures(last, "entropy", "distinct_answers"),
        "difference_se": difference_se,
        "peak_accuracy": accuracies[peak_step],
        "peak_step": peak_step,
        "verdict": verdict(
            accuracy=last.accuracy,
            behaviour_accuracy=mu.accuracy,
            difference_se=difference_se,
            peak_accuracy=accuracies[peak_step],
        ),
        **_last_metrics(arm),
        "collapse_step": arm.store.facts.get("collapse_step"),
        "seconds": _training_seconds(arm),
    }


def _last_metrics(arm: TrainedArm) -> dict[str, float | None]:
    """Return the metrics of the diagnostic set at the last step."""
    name = f"metrics/step-{arm.last_step:06d}.parquet"
    row = contracts.read_table(arm.store.path(name), contracts.METRICS).to_pylist()[-1]
    names = {"logp_correct": "slice_logp_correct", "logp_incorrect": "slice_logp_incorrect"}
    return {
        name: finite_or_none(row[column])
        for name, column in (names | {"kl": "kl", "ess": "ess"}).items()
    }


def _training_seconds(arm: TrainedArm) -> float:
    # one record for each run: an arm that was resumed has several
    records = (arm.store.directory / "provenance").glob("*.json")
    return sum(float(files.read_json(path).get("seconds", 0.0)) for path in records)


def _suite_rows(
    config: ExperimentConfig, evaluated: Sequence[EvaluatedStep], sums: Mapping[Path, Sums]
) -> list[dict[str, Any]]:
    """Return a row for each evaluation of a suite, and of the main evaluation at the same steps."""
    known = {(item.arm.name, item.step) for item in evaluated if item.suite}
    items = [
        item
        for item in evaluated
        if (item.suite or item.split == config.evaluation.split)
        and (item.arm.name, item.step) in known
    ]
    order = [None, *config.evaluation.suites]
    items.sort(key=lambda item: (item.arm.name, order.index(item.suite), item.step))
    behaviour = {(i.arm.name, i.suite): sums[i.path] for i in items if i.step == 0}
    votes = {path: _majority_vote(config, path) for path in {item.path: None for item in items}}
    rows = [
        _arm_columns(item.arm)
        | {
            "suite": item.suite or item.config.task.name,
            "is_main": item.suite is None,
            "split": item.split,
            "step": item.step,
            "is_last": item.step == item.arm.last_step,
            "prompts": len(sums[item.path].kept_P),
            **_measures(sums[item.path]),
            "majority": votes[item.path].accuracy,
            "ties": votes[item.path].ties,
            **_difference(sums[item.path], behaviour[item.arm.name, item.suite]),
            "evaluation": str(item.path.relative_to(config.directory)),
        }
        for item in items
    ]
    return sorted(rows, key=_row_order)


def _majority_vote(config: ExperimentConfig, path: Path) -> majority.Majority:
    rows = contracts.read_table(path, contracts.EVALUATIONS, columns=majority.COLUMNS)
    return majority.majority_of(rows, config.reward)


def _difference(sums: Sums, behaviour: Sums) -> dict[str, float]:
    return {
        "difference": sums.accuracy - behaviour.accuracy,
        "difference_se": standard_error(sums.accuracy_P - behaviour.accuracy_P),
    }


def _publish(
    path: Path, contract: contracts.Contract, rows: Sequence[Mapping[str, Any]]
) -> pa.Table:
    """Write rows unless the file holds the same rows already; columns that a row lacks are null."""
    names = contract.schema.names
    table = contracts.make_table(
        contract, {name: [row.get(name) for row in rows] for name in names}
    )
    # an unchanged table keeps its time stamp, so that a newer page still counts as up to date
    if not _holds(path, contract, table):
        files.publish_path(
            path, lambda target: contracts.write_table(target, contract, table, identity="")
        )
    return table


def _holds(path: Path, contract: contracts.Contract, rows: pa.Table) -> bool:
    """Tell whether a file holds exactly these rows; False if the file cannot be read."""
    try:
        return bool(contracts.read_table(path, contract).equals(rows))
    except (AsymreinforceError, OSError):
        return False
