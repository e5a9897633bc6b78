"""Export the numbers of the report page as rows for other programs, unrounded.

Accuracies are in percent and differences in points; an unknown value is None.
docs/reference/python.md has the meaning of every column.
"""

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any

from asymreinforce.report.evaluated import ArmEnds, intervals_of_run
from asymreinforce.report.findings import answer_sentence
from asymreinforce.report.read import Report
from asymreinforce.report.records import ReportedArm
from asymreinforce.report.results import Result
from asymreinforce.report.statistics.aggregates import Aggregated, Improvement, aggregate_groups
from asymreinforce.report.statistics.comparison import Comparison
from asymreinforce.report.statistics.intervals import Interval
from asymreinforce.report.suites import SuiteResults

SUITE_COLUMNS = (
    "arm", "algorithm", "baseline", "seed", "suite", "is_main", "split", "step", "is_last",
    "prompts", "k", "avg_at_k", "avg_at_k_se", "maj_at_k", "ties", "pass_at_k", "minus_mu",
    "minus_mu_se", "length", "truncated",
)  # fmt: skip
"""The columns of a benchmark in `asymrl report --json`, in order."""

STORED = {
    "avg_at_k": "accuracy",
    "avg_at_k_se": "accuracy_se",
    "maj_at_k": "majority",
    "minus_mu": "difference",
    "minus_mu_se": "difference_se",
}
"""Columns that have another name in `suites.parquet`."""

SHARES = {*STORED, "ties", "pass_at_k", "truncated"}


DIAGNOSTICS = ("entropy", "logp_correct", "logp_incorrect", "kl", "ess", "seconds")
"""The last columns of an arm, named like the fields of its outcome."""


def setting_rows(report: Report) -> list[dict[str, Any]]:
    """Return one row per setting; all rows have the same columns, three of them for each suite."""
    aggregated = {item.name: item for item in aggregate_groups(report.results)}
    against = report.results.against
    return [
        _setting_row(row, aggregated.get(row.name), against) | _scores_of(report.suites, row.name)
        for row in report.results.rows
    ]


def arm_rows(report: Report) -> list[dict[str, Any]]:
    """Return one row per arm."""
    split = report.experiment.split
    return [_arm_row(arm, report.ends.get(arm.id), split=split) for arm in report.experiment.arms]


def as_json(report: Report) -> str:
    """Return the report as one JSON object: the answer, and the rows of settings and arms."""
    experiment = report.experiment
    values = {
        "experiment": experiment.name,
        "split": experiment.split,
        "answer": answer_sentence(experiment, report.groups),
        "behaviour_accuracy": _percent(experiment.behaviour_accuracy),
        "settings": setting_rows(report),
        "arms": arm_rows(report),
    }
    if report.suite_rows:
        values["suites"] = [_suite_row(row) for row in report.suite_rows]
    return json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1)


def as_csv(report: Report) -> str:
    """Return CSV with a header and one line per setting; an unknown value is empty."""
    text, rows = io.StringIO(), setting_rows(report)
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _setting_row(row: Result, aggregated: Aggregated | None, against: str | None) -> dict[str, Any]:
    group = row.group
    intervals = [c.interval for c in (row.against_behaviour, row.against) if c and c.interval]
    runs = aggregated and aggregated.accuracy
    return _without_infinities(
        {
            "setting": row.name,
            "algorithm": group.algorithm,
            "baseline_reference": group.baseline_reference,
            "baseline": group.baseline,
            "other_settings": " ".join(f"{key}={value}" for key, value in group.others),
            "seeds": len(group.arms),
            "ended": ", ".join(f"{count} {fate}" for fate, count in row.fates),
            "fell": row.fallen,
            "is_split": row.is_split,
            "accuracy": _percent(row.accuracy),
            "accuracy_lowest": _percent(min(group.accuracies, default=None)),
            "accuracy_highest": _percent(max(group.accuracies, default=None)),
            **_comparison_columns("minus_mu", row.against_behaviour),
            "against": against,
            **_comparison_columns("minus_against", row.against),
            "varied": ", ".join(intervals[0].varied) if intervals else None,
            "median": _percent(runs and runs.median),
            "quartile_low": _percent(runs and runs.low_quartile),
            "quartile_high": _percent(runs and runs.high_quartile),
            "iqm": _percent(runs and runs.interquartile_mean),
            **_improvement_columns("above_mu", aggregated and aggregated.over_behaviour),
            **_improvement_columns("above_against", aggregated and aggregated.over_against),
        }
    )


def _arm_row(arm: ReportedArm, ends: ArmEnds | None, *, split: str) -> dict[str, Any]:
    outcome, intervals = arm.outcome, ends and intervals_of_run(ends)
    return _without_infinities(
        {
            "arm": arm.id,
            "algorithm": arm.algorithm,
            "baseline_reference": arm.baseline_reference,
            # the setting has a value even if the objective does not use a baseline
            "baseline": arm.baseline if arm.uses_baseline else None,
            "seed": arm.seed,
            "policy_seed": arm.policy_seed,
            "sampling_seed": arm.sampling_seed,
            "verdict": arm.fate,
            "fell_by": _percent(arm.fall(split)),
            "collapse_step": outcome and outcome.collapse_step,
            "step": outcome and outcome.step,
            "accuracy": _percent(outcome and outcome.accuracy),
            **_percent_ends("accuracy", intervals and intervals.accuracy),
            "minus_mu": _percent(outcome and outcome.difference),
            **_percent_ends("minus_mu", intervals and intervals.minus_behaviour),
            "peak": _percent(outcome and outcome.peak_accuracy),
            "peak_step": outcome and outcome.peak_step,
            "k": outcome and outcome.k,
            "pass_at_k": _percent(outcome and outcome.pass_at_k),
            **{name: outcome and getattr(outcome, name) for name in DIAGNOSTICS},
        }
    )


def _suite_row(row: Mapping[str, Any]) -> dict[str, Any]:
    stored = {name: row[STORED.get(name, name)] for name in SUITE_COLUMNS}
    return {name: 100 * value if name in SHARES else value for name, value in stored.items()}


def _scores_of(results: SuiteResults | None, setting: str) -> dict[str, float | None]:
    """Return avg@k, maj@k and pass@k of a setting on each suite beside the main evaluation."""
    if results is None:
        return {}
    line = next((line for line in results.lines if line.name == setting), None)
    scores = line.scores if line else [None] * len(results.benchmarks)
    known: dict[str, float | None] = {}
    for benchmark, score in zip(results.benchmarks, scores, strict=True):
        if not benchmark.is_main:
            known[f"{benchmark.name}.avg_at_k"] = _percent(score and score.accuracy)
            known[f"{benchmark.name}.maj_at_k"] = _percent(score and score.majority)
            known[f"{benchmark.name}.pass_at_k"] = _percent(score and score.pass_at_k)
    return known


def _comparison_columns(name: str, comparison: Comparison | None) -> dict[str, Any]:
    return {
        name: _percent(comparison and comparison.difference),
        **_percent_ends(name, comparison and comparison.interval),
        f"{name}_p": comparison and comparison.p_holm,
    }


def _improvement_columns(name: str, improvement: Improvement | None) -> dict[str, Any]:
    interval = improvement and improvement.interval
    return {
        name: improvement and improvement.probability,
        f"{name}_low": interval and interval.low,
        f"{name}_high": interval and interval.high,
    }


def _percent_ends(name: str, interval: Interval | None) -> dict[str, Any]:
    return {
        f"{name}_low": _percent(interval and interval.low),
        f"{name}_high": _percent(interval and interval.high),
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _without_infinities(row: Mapping[str, Any]) -> dict[str, Any]:
    """Replace numbers that are not finite by None, since JSON has neither NaN nor infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
