"""Build the summary from disk: one row for each arm, and one for each evaluated checkpoint.

Arms share prompts and evaluation seeds, so differences to mu are paired over prompts.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from asymreinforce.algorithm.ending import verdict
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts, files
from asymreinforce.data.values import finite_or_none
from asymreinforce.experiment.arms import TrainedArm, overrides_of
from asymreinforce.experiment.evaluated_steps import EvaluatedStep
from asymreinforce.experiment.suites import write_suites
from asymreinforce.experiment.summary_files import arm_columns, contract_table, publish_table
from asymreinforce.rewards.sums import Sums, read_sums, standard_error

SUMMARY_PARQUET, SUMMARY_JSON, CURVES_PARQUET = "summary.parquet", "summary.json", "curves.parquet"


def write_summary(config: ExperimentConfig, evaluated: Sequence[EvaluatedStep]) -> pa.Table:
    """Write `curves.parquet`, `summary.parquet` and `summary.json`; return the summary.

    `suites.parquet` is written as well if suites were evaluated.
    """
    write_suites(config, evaluated)
    evaluated = [item for item in evaluated if item.suite is None]
    measured = _read_evaluations(config, evaluated)
    steps_of_arm: dict[str, list[EvaluatedStep]] = defaultdict(list)
    for item in evaluated:
        steps_of_arm[item.arm.name].append(item)
    arms = {item.arm.name: item.arm for item in evaluated}
    overrides = overrides_of(list(arms.values()))
    curves: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    for name, arm in arms.items():
        arm_steps = steps_of_arm[name]
        measured_steps = {
            (item.split, item.step): measured[item.store.directory / item.shard]
            for item in arm_steps
        }
        curves += [
            _curve_row(config, item, measured_steps[item.split, item.step])
            for item in sorted(arm_steps, key=lambda item: (item.split, item.step))
        ]
        steps = {
            step: measured_step
            for (split, step), measured_step in measured_steps.items()
            if split == config.evaluation.split
        }
        summary.append(_summary_row(arm, steps, json.dumps(overrides[name], sort_keys=True)))
    summary.sort(key=lambda row: (row["algorithm"], row["baseline"], row["seed"], row["arm"]))
    table = contract_table(contracts.SUMMARY, summary)
    files.remove_leftovers(config.directory, below=False)
    publish_table(
        config.directory / CURVES_PARQUET,
        contracts.CURVES,
        contract_table(contracts.CURVES, curves),
    )
    publish_table(config.directory / SUMMARY_PARQUET, contracts.SUMMARY, table)
    files.publish_json(config.directory / SUMMARY_JSON, summary)
    return table


class MeasuredStep(NamedTuple):
    """An evaluation's accuracy for each prompt, and its columns of CURVES and SUMMARY."""

    accuracy_P: np.ndarray
    columns: dict[str, Any]

    @property
    def accuracy(self) -> float:
        """The mean accuracy over prompts."""
        return float(self.columns["accuracy"])


def _read_evaluations(
    config: ExperimentConfig, evaluated: Sequence[EvaluatedStep]
) -> dict[Path, MeasuredStep]:
    """Read and measure each evaluation once; step 0 (mu) is shared by all arms."""
    items = {item.store.directory / item.shard: item for item in evaluated}
    return {
        path: _measure_step(read_sums(item.store, item.shard, config.reward))
        for path, item in items.items()
    }


def _measure_step(sums: Sums) -> MeasuredStep:
    names = ("accuracy", "accuracy_se", "k", "pass_at_k", "entropy", "distinct_answers")
    columns = {name: getattr(sums, name) for name in (*names, "length", "truncated")}
    return MeasuredStep(sums.accuracy_P, columns)


def _curve_row(
    config: ExperimentConfig, item: EvaluatedStep, measured: MeasuredStep
) -> dict[str, Any]:
    path = item.store.directory / item.shard
    return arm_columns(item.arm) | {
        "split": item.split,
        "step": item.step,
        "prompts": len(measured.accuracy_P),
        **measured.columns,
        "evaluation": str(path.relative_to(config.directory)),
    }


def _summary_row(arm: TrainedArm, steps: dict[int, MeasuredStep], overrides: str) -> dict[str, Any]:
    mu, last = steps[0], steps[arm.last_step]
    difference_P = last.accuracy_P - mu.accuracy_P
    # step 0 is mu and no result of training
    after_start = [step for step in sorted(steps) if step]
    peak_step = max(after_start, key=lambda step: steps[step].accuracy)
    peak = steps[peak_step].accuracy
    difference_se = standard_error(difference_P)
    return arm_columns(arm) | {
        "overrides": overrides,
        "step": arm.last_step,
        "behaviour_accuracy": mu.accuracy,
        **last.columns,
        "difference_se": difference_se,
        "peak_accuracy": peak,
        "peak_step": peak_step,
        "verdict": verdict(
            accuracy=last.accuracy,
            behaviour_accuracy=mu.accuracy,
            difference_se=difference_se,
            peak_accuracy=peak,
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
