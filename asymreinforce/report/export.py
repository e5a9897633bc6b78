"""Export the numbers of the report page as rows for other programs, unrounded.

Accuracies are in percent and differences in points; an unknown value is None.
"""

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any

from asymreinforce.report.evaluated import run_intervals
from asymreinforce.report.findings import answer_sentence
from asymreinforce.report.read import Report
from asymreinforce.report.records import ReportedArm
from asymreinforce.report.results import Result
from asymreinforce.report.statistics.aggregates import Aggregated, Improvement, aggregate_groups
from asymreinforce.report.statistics.comparison import Comparison
from asymreinforce.report.statistics.intervals import Interval
from asymreinforce.report.suite_export import score_columns, scores_of, suite_rows

SETTING_COLUMNS = {
    "setting": "the name of the setting in figures and tables",
    "algorithm": "the objective",
    "baseline_reference": "the reference to which the baseline is added; empty without a baseline",
    "baseline": "the baseline",
    "other_settings": "further settings in which it differs from other settings, KEY=VALUE",
    "seeds": "number of arms",
    "ended": "number of arms with each verdict",
    "fell": "number of arms that fell from their own peak without a collapse",
    "is_split": "whether some arms collapsed and others did not: no interval is valid then",
    "accuracy": "mean accuracy at the last step, percent",
    "accuracy_lowest": "lowest accuracy of its arms, percent",
    "accuracy_highest": "highest accuracy of its arms, percent",
    "minus_mu": "accuracy minus that of the behaviour policy, points",
    "minus_mu_low": "lower end of the 95% interval of minus_mu",
    "minus_mu_high": "upper end of the 95% interval of minus_mu",
    "minus_mu_p": "p of minus_mu, corrected for all settings (Holm)",
    "against": "the setting with which the next four columns compare",
    "minus_against": "accuracy minus that of `against`, paired over seeds, points",
    "minus_against_low": "lower end of the 95% interval of minus_against",
    "minus_against_high": "upper end of the 95% interval of minus_against",
    "minus_against_p": "p of minus_against, corrected for all settings (Holm)",
    "varied": "what varied between the runs of the intervals",
    "median": "median accuracy of its arms, percent",
    "quartile_low": "25% quantile of its arms' accuracies, percent",
    "quartile_high": "75% quantile of its arms' accuracies, percent",
    "iqm": "interquartile mean of its arms' accuracies, percent",
    "above_mu": "probability that a run ends above the behaviour policy",
    "above_mu_low": "lower end of the 95% bootstrap interval of above_mu",
    "above_mu_high": "upper end of the 95% bootstrap interval of above_mu",
    "above_against": "probability that a run ends above a run of `against`",
    "above_against_low": "lower end of the 95% bootstrap interval of above_against",
    "above_against_high": "upper end of the 95% bootstrap interval of above_against",
}
"""The columns of `asymrl report --csv` with their meanings, in order."""

ARM_COLUMNS = {
    "arm": "the arm's identity, which is the name of its directory",
    "algorithm": "the objective",
    "baseline_reference": "the reference to which the baseline is added",
    "baseline": "the baseline",
    "seed": "seed of training",
    "policy_seed": "seed of the behaviour policy",
    "sampling_seed": "seed of the rollouts",
    "verdict": "how the arm ended",
    "fell_by": "points below its own peak, if it fell without a collapse",
    "collapse_step": "the step at which the collapse rule was met",
    "step": "the last step",
    "accuracy": "accuracy at the last step, percent",
    "accuracy_low": "lower end of its 95% interval over prompts",
    "accuracy_high": "upper end of its 95% interval over prompts",
    "minus_mu": "accuracy minus that of the behaviour policy, points",
    "minus_mu_low": "lower end of its 95% interval over prompts",
    "minus_mu_high": "upper end of its 95% interval over prompts",
    "peak": "the highest accuracy, percent",
    "peak_step": "the step of the highest accuracy",
    "k": "samples of a prompt",
    "pass_at_k": "prompts with a right answer among k samples, percent",
    "entropy": "mean entropy of completions, nats",
    "logp_correct": "mean log-probability of the behaviour policy's correct completions, nats",
    "logp_incorrect": "mean log-probability of the behaviour policy's incorrect completions, nats",
    "kl": "KL(mu || pi), nats; in-sample, so it can be negative",
    "ess": "effective sample size of the weights pi/mu",
    "seconds": "seconds of training",
}
"""The columns of an arm in `asymrl report --json` with their meanings, in order."""


def setting_rows(report: Report) -> list[dict[str, Any]]:
    """Return one row per setting, with the columns of `setting_columns`."""
    aggregated = {item.name: item for item in aggregate_groups(report.results)}
    against = report.results.against
    return [
        _setting_row(row, aggregated.get(row.name), against) | scores_of(report.suites, row.name)
        for row in report.results.rows
    ]


def setting_columns(report: Report) -> dict[str, str]:
    """Return `SETTING_COLUMNS` followed by three columns for each suite."""
    return SETTING_COLUMNS | score_columns(report.suites)


def arm_rows(report: Report) -> list[dict[str, Any]]:
    """Return one row per arm, with `ARM_COLUMNS`."""
    intervals = run_intervals(report.experiment.arms, report.ends)
    rows = []
    for arm in report.experiment.arms:
        own = intervals.get(arm.id)
        known = {
            **_percent_ends("accuracy", own.accuracy if own else None),
            **_percent_ends("minus_mu", own.minus_behaviour if own else None),
        }
        rows.append(_in_order(ARM_COLUMNS, _arm_row(arm, split=report.experiment.split) | known))
    return rows


def as_json(report: Report) -> str:
    """Return the report as one JSON object: the answer, and the rows of settings and arms."""
    experiment = report.experiment
    mu = experiment.behaviour_accuracy
    told = {
        "experiment": experiment.name,
        "split": experiment.split,
        "answer": answer_sentence(experiment, report.groups),
        "behaviour_accuracy": None if mu is None else 100 * mu,
        "settings": setting_rows(report),
        "arms": arm_rows(report),
    }
    if report.suite_rows:
        told["suites"] = suite_rows(report.suite_rows)
    return json.dumps(told, ensure_ascii=False, allow_nan=False, indent=1)


def as_csv(report: Report) -> str:
    """Return CSV with a header of `setting_columns` and one line per setting; unknown is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(setting_columns(report)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(setting_rows(report))
    return text.getvalue().rstrip("\n")


def _setting_row(row: Result, aggregated: Aggregated | None, against: str | None) -> dict[str, Any]:
    group, values = row.group, [100 * value for value in row.group.accuracies]
    intervals = [c.interval for c in (row.against_behaviour, row.against) if c and c.interval]
    known: dict[str, Any] = {
        "setting": row.name,
        "algorithm": group.algorithm,
        "baseline_reference": group.baseline_reference,
        "baseline": group.baseline,
        "other_settings": " ".join(f"{key}={value}" for key, value in group.others),
        "seeds": len(group.arms),
        "ended": ", ".join(f"{count} {fate}" for fate, count in row.fates),
        "fell": row.fallen,
        "is_split": row.is_split,
        "accuracy": None if row.accuracy is None else 100 * row.accuracy,
        "accuracy_lowest": min(values, default=None),
        "accuracy_highest": max(values, default=None),
        **_comparison_columns("minus_mu", row.against_behaviour),
        "against": against,
        **_comparison_columns("minus_against", row.against),
        "varied": ", ".join(intervals[0].varied) if intervals else None,
    }
    if aggregated:
        accuracy = aggregated.accuracy
        known |= {
            "median": 100 * accuracy.median,
            "quartile_low": 100 * accuracy.low_quartile,
            "quartile_high": 100 * accuracy.high_quartile,
            "iqm": 100 * accuracy.interquartile_mean,
            **_improvement_columns("above_mu", aggregated.over_behaviour),
            **_improvement_columns("above_against", aggregated.over_against),
        }
    return _in_order(SETTING_COLUMNS, known)


def _arm_row(arm: ReportedArm, *, split: str) -> dict[str, Any]:
    fall = arm.fall(split)
    known: dict[str, Any] = {
        "arm": arm.id,
        "algorithm": arm.algorithm,
        "baseline_reference": arm.baseline_reference,
        # the setting has a value even if the objective does not use a baseline
        "baseline": arm.baseline if arm.uses_baseline else None,
        "seed": arm.seed,
        "policy_seed": arm.policy_seed,
        "sampling_seed": arm.sampling_seed,
        "verdict": arm.fate,
        "fell_by": None if fall is None else 100 * fall,
    }
    if outcome := arm.outcome:
        same = ("step", "collapse_step", "peak_step", "k", "entropy", "logp_correct",
                "logp_incorrect", "kl", "ess", "seconds")  # fmt: skip
        known |= {name: getattr(outcome, name) for name in same}
        known |= {
            "accuracy": 100 * outcome.accuracy,
            "minus_mu": None if outcome.difference is None else 100 * outcome.difference,
            "peak": 100 * outcome.peak_accuracy,
            "pass_at_k": 100 * outcome.pass_at_k,
        }
    return known


def _comparison_columns(name: str, comparison: Comparison | None) -> dict[str, Any]:
    if comparison is None:
        return {}
    ends = _percent_ends(name, comparison.interval)
    return {name: 100 * comparison.difference, f"{name}_p": comparison.p_holm, **ends}


def _improvement_columns(name: str, improvement: Improvement | None) -> dict[str, Any]:
    if improvement is None:
        return {}
    interval = improvement.interval
    ends = {f"{name}_low": interval.low, f"{name}_high": interval.high} if interval else {}
    return {name: improvement.probability, **ends}


def _percent_ends(name: str, interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {}
    return {f"{name}_low": 100 * interval.low, f"{name}_high": 100 * interval.high}


def _in_order(columns: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return one value per column, in order; None if the value is unknown or not finite."""
    return {name: _finite_or_none(known.get(name)) for name in columns}


def _finite_or_none(value: Any) -> Any:
    # JSON has neither NaN nor infinity
    return None if isinstance(value, float) and not math.isfinite(value) else value
