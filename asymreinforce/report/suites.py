"""Compare settings on every benchmark: the main evaluation and the suites.

Each setting is shown at its last step, averaged over seeds, and mu before training.
`experiment/summary.py` writes the rows.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data import contracts
from asymreinforce.errors import InputError
from asymreinforce.report.groups import ArmGroup, group_label
from asymreinforce.report.records import Series, SeriesPoint

FILE = "suites.parquet"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""Allowed names of a suite, since the name becomes part of a figure's file name."""

Row = Mapping[str, Any]


class Benchmark(NamedTuple):
    """The main evaluation, or a suite by its name."""

    name: str
    is_main: bool
    prompts: int
    k: int
    """The smallest number of samples of a prompt in any row."""


class Score(NamedTuple):
    """The scores of one policy on a benchmark, or a mean over policies; shares of 1."""

    accuracy: float
    """avg@k: the mean accuracy over k samples."""
    majority: float
    """maj@k, by `rewards/majority.py`."""
    pass_at_k: float
    difference: float | None
    """Accuracy minus mu's accuracy; None for mu itself."""


class SuiteLine(NamedTuple):
    """The scores of mu or of a setting, one per benchmark; None if it was not evaluated there."""

    name: str
    baseline: float | None
    runs: int
    scores: tuple[Score | None, ...]


class SuiteResults(NamedTuple):
    """The benchmarks, main evaluation first, and the lines of mu and of each setting."""

    benchmarks: tuple[Benchmark, ...]
    lines: tuple[SuiteLine, ...]


def read_suite_rows(directory: Path) -> list[dict[str, Any]]:
    """Return the rows of `suites.parquet`; empty if no suite was evaluated.

    Raises `InputError` if the file is damaged or has a name that no suite can have.
    """
    path = directory / FILE
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = contracts.read_table(path, contracts.SUITES).to_pylist()
    for row in rows:
        # a file may come from anyone: a name such as ../../etc must not become a path
        if not row["is_main"] and not NAME.fullmatch(row["suite"]):
            raise InputError(
                f"{path}: {row['suite'][:80]!r} is not the name of a suite; evaluate again"
            )
    return rows


def suite_series(rows: Iterable[Row]) -> dict[str, dict[str, Series]]:
    """Return, for each arm, the accuracy on each suite by step."""
    points: dict[str, dict[str, list[SeriesPoint]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if not row["is_main"]:
            points[row["arm"]][row["suite"]].append(SeriesPoint(row["step"], row["accuracy"]))
    return {
        arm: {name: tuple(sorted(series)) for name, series in by_suite.items()}
        for arm, by_suite in points.items()
    }


def suite_results(rows: Sequence[Row], groups: Sequence[ArmGroup]) -> SuiteResults | None:
    """Average the scores of each setting's arms at the last step; None if there are no rows."""
    arms = {arm.id for group in groups for arm in group.arms}
    rows = [row for row in rows if row["arm"] in arms]
    if not rows:
        return None
    by_benchmark: dict[tuple[bool, str], list[Row]] = {}
    for row in rows:
        by_benchmark.setdefault((row["is_main"], row["suite"]), []).append(row)
    ordered = sorted(by_benchmark.items(), key=lambda item: not item[0][0])
    benchmarks = tuple(
        Benchmark(name, is_main, own[0]["prompts"], min(row["k"] for row in own))
        for (is_main, name), own in ordered
    )
    columns = [own for _, own in ordered]
    lines = [_behaviour_line(columns)]
    lines += [_setting_line(group, group_label(group, groups), columns) for group in groups]
    return SuiteResults(benchmarks, tuple(line for line in lines if line.runs))


def _behaviour_line(columns: Sequence[Sequence[Row]]) -> SuiteLine:
    """Average the scores of the behaviour policies."""
    # several arms share a policy and its evaluation, which counts once
    of_mu = [{row["evaluation"]: row for row in own if row["step"] == 0} for own in columns]
    scores = tuple(_score(rows.values()) for rows in of_mu)
    # mu minus mu is 0 by definition
    without = tuple(score and score._replace(difference=None) for score in scores)
    return SuiteLine("µ", None, max(map(len, of_mu)), without)


def _setting_line(group: ArmGroup, name: str, columns: Sequence[Sequence[Row]]) -> SuiteLine:
    arms = {arm.id for arm in group.arms}
    last = [[row for row in own if row["arm"] in arms and row["is_last"]] for own in columns]
    return SuiteLine(name, group.baseline, max(map(len, last)), tuple(map(_score, last)))


def _score(rows: Iterable[Row]) -> Score | None:
    rows = list(rows)
    if not rows:
        return None
    return Score(
        *(
            sum(row[name] for row in rows) / len(rows)
            for name in ("accuracy", "majority", "pass_at_k", "difference")
        )
    )
