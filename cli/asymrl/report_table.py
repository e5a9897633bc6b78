"""Print the results of `asymrl report` with intervals, narrow enough for 80 columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asymreinforce import terminal
from asymrl.console import VERDICT_STYLES, add_numbers, make_table, styled_text
from asymrl.tables import print_suites

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from asymreinforce.report.coverage import Coverage
    from asymreinforce.report.pair import ExperimentPair
    from asymreinforce.report.read import Report
    from asymreinforce.report.searches import SearchedMethod
    from asymreinforce.report.statistics.comparison import Comparison

LONGEST_NAME = 40


def print_results(report: "Report", *, power: float | None = None) -> None:
    """Print one row for each setting, then coverage, and the seeds needed for `power` points."""
    from asymreinforce.report.results import RULE

    console = terminal.make_console()
    console.print(results_table(report))
    against = report.results.against
    lines = [
        RULE,
        _what_varied([row.against_behaviour for row in report.results.rows]),
        f"Every setting is compared with {against}; --against takes another." if against else None,
        report.results.power,
    ]
    if fallen := [row for row in report.results.rows if row.fallen]:
        counts = ", ".join(f"{row.name} ({row.fallen} of {len(row.group.arms)})" for row in fallen)
        lines.append(f"Fell from their own peak by more than three standard errors: {counts}.")
    if any(row.is_split for row in report.results.rows):
        lines.append("‡ Some seeds collapsed and some did not: no interval holds there.")
    lines += [f"warning: {sentence}" for sentence in report.experiment.warnings]
    for line in filter(None, lines):
        console.print(styled_text(line, style="dim"))
    if power is not None:
        console.print(_power_table(report, power))
    if report.searches:
        console.print(searches_table(report.searches))
    if report.coverage:
        _print_coverage(console, report.coverage)
    print_suites(report.suites)


def searches_table(methods: "Sequence[SearchedMethod]") -> "Table":
    """Return one row for each method: the searched settings, the budget, and the best trial."""
    from asymreinforce.report.page.result_table import search_table

    shown = search_table(methods)
    assert shown
    table = make_table("searched on validation questions")
    for title in shown.columns:
        table.add_column(title, overflow="fold")
    for row in shown.rows:
        table.add_row(*(styled_text(cell.text) for cell in row))
    return table


def _power_table(report: "Report", points: float) -> "Table":
    from asymreinforce.report.results import seeds_for
    from asymreinforce.report.statistics.intervals import POWER

    table = make_table(f"seeds for a difference of {points:g} points with power {POWER:g}")
    _add_names(table)
    for name in ("has", "sd between seeds, points", "needs"):
        table.add_column(name, justify="right")
    for row in seeds_for(report.results, points=points):
        deviation = f"{100 * row.deviation:.1f}"
        table.add_row(styled_text(row.name), str(row.seeds), deviation, row.needed)
    return table


def _print_coverage(console: "Console", coverage: "Coverage") -> None:
    """Print the coverage of the samples of mu and of each setting, and the findings."""
    from asymreinforce.report.coverage import coverage_findings
    from asymreinforce.report.page.result_table import coverage_table

    shown_table = coverage_table(coverage)
    table = make_table(
        f"coverage at the last step: distinct among {coverage.k} samples of a prompt"
    )
    _add_names(table)
    for name in shown_table.columns[1:]:
        table.add_column(name, justify="right", overflow="fold")
    for row in shown_table.rows:
        table.add_row(*(styled_text(cell.text) for cell in row))
    console.print(table)
    for line in coverage_findings(coverage):
        console.print(styled_text(line, style="dim"))


def results_table(report: "Report") -> "Table":
    """Return the table of results, one row for each setting."""
    from rich.text import Text

    from asymreinforce.report.page.result_table import SPLIT_MARK, p_text

    split = report.experiment.split.replace("_", "-")
    against = report.results.against
    table = make_table(f"{split} accuracy, %, at the last step; differences with 95% intervals")
    _add_names(table)
    add_numbers(table, "n", "mean", "against µ")
    if against is not None:
        table.add_column(styled_text(f"against {against}"), justify="right", overflow="ellipsis")
        add_numbers(table, "p")
    table.add_column("ended", no_wrap=True)
    for row in report.results.rows:
        cells: list[str | Text] = [
            styled_text(row.name),
            str(len(row.group.arms)),
            "—" if row.accuracy is None else f"{100 * row.accuracy:.1f}",
            _difference_text(row.against_behaviour),
        ]
        if against is not None:
            p = row.against.p_holm if row.against else None
            cells += [_difference_text(row.against), p_text(p) if row.against else ""]
        mark = f" {SPLIT_MARK}" if row.is_split else ""
        table.add_row(*cells, _fates_text(row.fates) + styled_text(mark))
    return table


def print_pair(compared: "ExperimentPair") -> None:
    """Print one row for each setting of both experiments: the second minus the first."""
    from asymreinforce.report.page.result_table import p_text

    first, second = (experiment.name for experiment in compared.experiments)
    console = terminal.make_console()
    table = make_table("accuracy, %, at the last step; the second minus the first, 95% interval")
    _add_names(table)
    for name in (first, second):
        table.add_column(styled_text(name), justify="right", overflow="ellipsis")
    add_numbers(table, "difference", "p")
    for twin in compared.twins:
        accuracies = ("—" if a is None else f"{100 * a:.1f}" for a in twin.accuracies)
        p = twin.comparison.p_holm if twin.comparison else None
        table.add_row(
            styled_text(twin.name), *accuracies, _difference_text(twin.comparison), p_text(p)
        )
    if compared.twins:
        console.print(table)
    else:
        console.print("no setting is in both experiments")
    for item in compared.differences:
        console.print(styled_text(f"{item.key}: {item.first} | {item.second}", style="dim"))
    if varied := _what_varied([twin.comparison for twin in compared.twins]):
        console.print(styled_text(varied, style="dim"))


def _add_names(table: "Table") -> None:
    table.add_column("setting", overflow="fold", max_width=LONGEST_NAME, style="bold")


def _difference_text(comparison: "Comparison | None") -> str:
    from asymreinforce.report.page.cells import bracket_interval
    from asymreinforce.report.words import points_text

    if comparison is None:
        return "—"
    interval = f" {bracket_interval(comparison.interval)}" if comparison.interval else ""
    return points_text(comparison.difference) + interval


def _what_varied(comparisons: "list[Comparison | None]") -> str | None:
    """Say what varied between the runs of the intervals; None if there are no intervals."""
    from asymreinforce.report.statistics.intervals import PROMPTS as CROSSED

    varied_sets = {item.interval.varied for item in comparisons if item and item.interval}
    if not varied_sets:
        return None
    words = "; ".join(", ".join(varied) or "nothing" for varied in sorted(varied_sets))
    is_crossed = any(CROSSED in varied for varied in varied_sets)
    how = "t over runs crossed with prompts" if is_crossed else "paired t over seeds"
    return (
        f"Intervals: {how}, between which varied: {words}. p is for the differences of one column "
        "together (Holm)."
    )


def _fates_text(fates: tuple[tuple[str, int], ...]) -> "Text":
    from rich.text import Text

    from asymreinforce.report.page.arm_table import VERDICT_MARKS

    if len(fates) == 1:
        fate, _ = fates[0]
        return styled_text(fate, style=VERDICT_STYLES.get(fate, ""))
    return Text.assemble(
        *(
            (f"{count} {VERDICT_MARKS.get(fate, fate)} ", VERDICT_STYLES.get(fate, ""))
            for fate, count in fates
        )
    )
