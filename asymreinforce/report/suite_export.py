"""Export the benchmarks of an evaluation as rows for other programs, in percent, unrounded."""

from collections.abc import Iterable
from typing import Any

from asymreinforce.report.suites import Row, SuiteResults

SUITE_COLUMNS = {
    "arm": "the arm's identity, which is the name of its directory",
    "algorithm": "the objective",
    "baseline": "the baseline",
    "seed": "seed of training",
    "suite": "the benchmark: a suite's name, or the task of the main evaluation",
    "is_main": "whether it is the main evaluation",
    "split": "split of the task's questions",
    "step": "step of training; 0 is the behaviour policy",
    "is_last": "whether it is the arm's last step",
    "prompts": "number of questions",
    "k": "samples of a prompt",
    "avg_at_k": "mean accuracy over k samples, percent",
    "avg_at_k_se": "standard error of avg_at_k over prompts, points",
    "maj_at_k": "accuracy of the most frequent answer among k samples, percent",
    "ties": "prompts on which several answers are most frequent, percent",
    "pass_at_k": "prompts with a right answer among k samples, percent",
    "minus_mu": "avg@k minus that of the behaviour policy, points",
    "minus_mu_se": "standard error of minus_mu, paired over prompts, points",
    "length": "mean tokens of a completion",
    "truncated": "completions that were cut off, percent",
}
"""The columns of a benchmark in `asymrl report --json` with their meanings, in order."""

STORED = {
    "avg_at_k": "accuracy",
    "avg_at_k_se": "accuracy_se",
    "maj_at_k": "majority",
    "minus_mu": "difference",
    "minus_mu_se": "difference_se",
}
"""Columns that have another name in `suites.parquet`."""

SHARES = {*STORED, "ties", "pass_at_k", "truncated"}

SCORES = {
    "avg_at_k": "mean accuracy over {k} samples on {name}, percent",
    "maj_at_k": "accuracy of the most frequent answer among {k} samples on {name}, percent",
    "pass_at_k": "prompts of {name} with a right answer among {k} samples, percent",
}
"""The columns of each suite in a setting's row, with their meanings."""


def suite_rows(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return one row per arm, benchmark and checkpoint, with `SUITE_COLUMNS`."""
    return [
        {
            name: 100 * value if name in SHARES else value
            for name, value in ((name, row[STORED.get(name, name)]) for name in SUITE_COLUMNS)
        }
        for row in rows
    ]


def score_columns(results: SuiteResults | None) -> dict[str, str]:
    """Return the columns of all suites in a setting's row, with their meanings."""
    return {
        f"{benchmark.name}.{column}": meaning.format(name=benchmark.name, k=benchmark.k)
        for benchmark in (results.benchmarks if results else ())
        if not benchmark.is_main
        for column, meaning in SCORES.items()
    }


def scores_of(results: SuiteResults | None, setting: str) -> dict[str, float | None]:
    """Return the values of the suites' columns for a setting."""
    known: dict[str, float | None] = dict.fromkeys(score_columns(results))
    line = next((line for line in results.lines if line.name == setting), None) if results else None
    if results is None or line is None:
        return known
    for benchmark, score in zip(results.benchmarks, line.scores, strict=True):
        if score and not benchmark.is_main:
            shares = (score.accuracy, score.majority, score.pass_at_k)
            for column, share in zip(SCORES, shares, strict=True):
                known[f"{benchmark.name}.{column}"] = 100 * share
    return known
