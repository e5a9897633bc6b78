"""Print every benchmark of an evaluation as a table, narrow enough for 80 columns."""

from pathlib import Path
from typing import TYPE_CHECKING

from asymreinforce import terminal

if TYPE_CHECKING:
    from asymreinforce.report.suites import Benchmark, Score, SuiteResults

LONGEST_NAME = 30


def print_suites_of(directory: Path) -> None:
    """Print the benchmarks of an experiment, or nothing if it has no suites."""
    from asymreinforce.report.experiment import read_experiment
    from asymreinforce.report.groups import group_arms
    from asymreinforce.report.suites import read_suite_rows, suite_results

    if rows := read_suite_rows(directory):
        print_suites(suite_results(rows, group_arms(read_experiment(directory))))


def print_suites(results: "SuiteResults | None") -> None:
    """Print one row for each benchmark and setting: mu, then each setting at its last step."""
    from asymrl.console import add_numbers, make_table, styled_text

    if results is None:
        return
    table = make_table("benchmarks at the last step, in %; maj: what most samples answer")
    for name in ("benchmark", "setting"):
        table.add_column(name, overflow="fold", max_width=LONGEST_NAME)
    add_numbers(table, "n", "k", "avg@k", "minus µ", "maj@k", "pass@k")
    for place, benchmark in enumerate(results.benchmarks):
        for line in results.lines:
            cells = (_name(benchmark), line.name, str(line.runs), str(benchmark.k))
            shown = [*cells, *_numbers(line.scores[place])]
            is_end = line is results.lines[-1]
            table.add_row(*(styled_text(cell) for cell in shown), end_section=is_end)
    terminal.make_console().print(table)


def _name(benchmark: "Benchmark") -> str:
    return f"main: {benchmark.name}" if benchmark.is_main else benchmark.name


def _numbers(score: "Score | None") -> list[str]:
    if score is None:
        return ["—"] * 4
    difference = "" if score.difference is None else f"{100 * score.difference:+.1f}"
    shares = [f"{100 * share:.1f}" for share in (score.majority, score.pass_at_k)]
    return [f"{100 * score.accuracy:.1f}", difference, *shares]
