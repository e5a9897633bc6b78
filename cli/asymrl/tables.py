"""Print the summary of a sweep, and the benchmarks of an evaluation, as tables."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from asymreinforce import terminal
from asymreinforce.data.arm_progress import IN_SAMPLE_KL
from asymrl.console import VERDICT_STYLES, add_numbers, make_table, styled_text

if TYPE_CHECKING:
    from asymreinforce.report.records import ReportedArm
    from asymreinforce.report.suites import Benchmark, Score, SuiteResults

OWN_COLUMNS = {"baseline", "seed"}
GAP = 1
EDGES = 2
NARROWEST_OTHERS = 16
NEEDED_BESIDE_OTHERS = 5
LONGEST_NAME = 30


class SummaryColumn(NamedTuple):
    """A column of the summary; a narrow terminal drops the columns with the largest `need`."""

    title: str
    need: int
    cells: list[str]

    @property
    def width(self) -> int:
        """Return the width of the widest cell and the gap beside it."""
        return GAP + max(map(len, [*self.title.split("\n"), *self.cells]))


def print_summary(summary: pa.Table) -> None:
    """Print one row for each arm: its last held-out accuracy, that of mu, and its peak.

    A terminal that is too narrow for all columns shows the most needed ones.
    """
    from rich.text import Text

    console = terminal.make_console()
    table = make_table("held-out accuracy in %, at the last step (± standard error over prompts)")
    rows = summary.to_pylist()
    others = [other_settings(json.loads(row["overrides"])) for row in rows]
    columns, room = _columns(rows), console.width - EDGES
    if any(others):  # further settings need the room of columns that the report shows as well
        columns = [column for column in columns if column.need <= NEEDED_BESIDE_OTHERS]
        room -= NARROWEST_OTHERS
    shown = _fitting(columns, room=room)
    for column in shown:
        justify: Any = "left" if column.title == "verdict" else "right"
        table.add_column(column.title, justify=justify, no_wrap=True)
    if any(others):
        table.add_column("also", overflow="fold", min_width=NARROWEST_OTHERS)
    for number, (row, also) in enumerate(zip(rows, others, strict=True)):
        styles = {"verdict": VERDICT_STYLES.get(row["verdict"], "")}
        cells = [Text(c.cells[number], style=styles.get(c.title, "")) for c in shown]
        table.add_row(*cells, *([styled_text(also)] if any(others) else []))
    console.print(table)


def _columns(rows: Sequence[dict[str, Any]]) -> list[SummaryColumn]:
    """Return all columns from left to right."""
    from asymreinforce.algorithm.table import has_baseline
    from asymreinforce.report.coverage import pass_at_words

    def percent(name: str) -> list[str]:
        return [f"{100 * row[name]:.1f}" for row in rows]

    errors = percent("accuracy_se")
    accuracies = [f"{a} ±{e}" for a, e in zip(percent("accuracy"), errors, strict=True)]
    baselines = [
        baseline_text(row["baseline"] if has_baseline(row["algorithm"]) else None) for row in rows
    ]
    kls = ["-" if row["kl"] is None else f"{row['kl']:.1f}" for row in rows]
    return [
        SummaryColumn("baseline", 0, baselines),
        SummaryColumn("seed", 2, [str(row["seed"]) for row in rows]),
        SummaryColumn("mu", 4, percent("behaviour_accuracy")),
        SummaryColumn("accuracy", 1, accuracies),
        SummaryColumn("peak", 5, percent("peak_accuracy")),
        SummaryColumn("at step", 7, [str(row["peak_step"]) for row in rows]),
        SummaryColumn(pass_at_words(row["k"] for row in rows), 6, percent("pass_at_k")),
        SummaryColumn(IN_SAMPLE_KL.replace(" ", "\n"), 8, kls),
        SummaryColumn("verdict", 3, [row["verdict"] for row in rows]),
    ]


def _fitting(columns: Sequence[SummaryColumn], *, room: int) -> list[SummaryColumn]:
    """Return the columns that fit in `room`; the most needed columns go first."""
    fitting: set[str] = set()
    for column in sorted(columns, key=lambda column: column.need):
        room -= column.width
        if room < 0:
            break
        fitting.add(column.title)
    return [column for column in columns if column.title in fitting]


def print_arms(arms: "Sequence[ReportedArm]") -> None:
    """Print one row for each arm without an evaluation: log-probabilities under mu and at the end.

    Log-probabilities are means over the completions of the fixed diagnostic set, in nats.
    """
    table = make_table(
        "log-probability of the rollouts, before to after training; not evaluated",
        numbers=("baseline", "seed", "steps", "of correct ones", "of incorrect ones"),
    )
    table.add_column("verdict", no_wrap=True)
    others = [other_settings(arm.differing) for arm in arms]
    if any(others):
        table.add_column("also", overflow="fold", min_width=NARROWEST_OTHERS)
    for arm, also in zip(arms, others, strict=True):
        series = [arm.metrics.get(f"slice_logp_{kind}", ()) for kind in ("correct", "incorrect")]
        last = max((points[-1].step for points in arm.metrics.values()), default=0)
        table.add_row(
            baseline_text(arm.baseline if arm.uses_baseline else None),
            str(arm.seed),
            str(last),
            *(f"{p[0].value:.1f} to {p[-1].value:.1f}" if p else "-" for p in series),
            styled_text(arm.fate, style=VERDICT_STYLES.get(arm.fate, "")),
            *([styled_text(also)] if any(others) else []),
        )
    terminal.make_console().print(table)


def baseline_text(baseline: float | None) -> str:
    """Return a baseline with its sign, or "-" for an objective without one."""
    return "-" if baseline is None else f"{baseline:+g}" if baseline else "0"


def other_settings(differing: Mapping[str, Any]) -> str:
    """Return the settings but baseline and seed in which an arm differs from others."""
    return " ".join(
        f"{key.removesuffix('.name')}={value}"
        for key, value in differing.items()
        if key not in OWN_COLUMNS
    )


def print_suites_of(directory: Path) -> None:
    """Print the benchmarks of an experiment, or nothing if it has no suites."""
    from asymreinforce.report.experiment import read_experiment
    from asymreinforce.report.groups import group_arms
    from asymreinforce.report.suites import read_suite_rows, suite_results

    if rows := read_suite_rows(directory):
        print_suites(suite_results(rows, group_arms(read_experiment(directory))))


def print_suites(results: "SuiteResults | None") -> None:
    """Print one row for each benchmark and setting: mu, then each setting at its last step."""
    if results is None:
        return
    table = make_table("benchmarks at the last step, in %; maj: what most samples answer")
    for name in ("benchmark", "setting"):
        table.add_column(name, overflow="fold", max_width=LONGEST_NAME)
    add_numbers(table, "n", "k", "avg@k", "minus µ", "maj@k", "pass@k")
    for place, benchmark in enumerate(results.benchmarks):
        for line in results.lines:
            cells = (_benchmark_name(benchmark), line.name, str(line.runs), str(benchmark.k))
            shown = [*cells, *_score_numbers(line.scores[place])]
            is_end = line is results.lines[-1]
            table.add_row(*(styled_text(cell) for cell in shown), end_section=is_end)
    terminal.make_console().print(table)


def _benchmark_name(benchmark: "Benchmark") -> str:
    return f"main: {benchmark.name}" if benchmark.is_main else benchmark.name


def _score_numbers(score: "Score | None") -> list[str]:
    if score is None:
        return ["—"] * 4
    difference = "" if score.difference is None else f"{100 * score.difference:+.1f}"
    shares = [f"{100 * share:.1f}" for share in (score.majority, score.pass_at_k)]
    return [f"{100 * score.accuracy:.1f}", difference, *shares]
