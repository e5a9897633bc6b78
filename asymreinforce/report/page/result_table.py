"""Make the table of results: one row per group of arms, with intervals and what varied."""

from collections.abc import Sequence

from asymreinforce.report.commands import Commands
from asymreinforce.report.groups import ArmGroup
from asymreinforce.report.page.arm_table import VERDICT_MARKS
from asymreinforce.report.page.cells import (
    EMPTY,
    NOTHING,
    Cell,
    Table,
    bracket_interval,
    make_table,
    number_cell,
    percent_cell,
    setting_cell,
    text_cell,
)
from asymreinforce.report.records import ReportedArm
from asymreinforce.report.results import GroupResults, Result
from asymreinforce.report.statistics.comparison import Comparison
from asymreinforce.report.words import points_text

SPLIT_MARK = "‡"


def result_table(results: GroupResults, commands: Commands | None) -> Table:
    """Make the table of results; the command of each number shows the group's lowest seed."""
    rows = []
    for row in results.rows:
        command = _samples_command(row.group, commands)
        compared = {"µ": row.against_behaviour}
        if results.against is not None:
            compared[results.against] = row.against
        cells = {
            "setting": setting_cell(row.name, row.group),
            "seeds": number_cell(len(row.group.arms), "d"),
            "ended": _fate_cell(row),
            "accuracy, %": _mean_cell(row, command),
        }
        for base, comparison in compared.items():
            difference = difference_cell(comparison, command=command, is_split=row.is_split)
            cells[f"against {base}"] = difference
            cells["p" if base == "µ" else f"p, against {base}"] = p_cell(comparison)
        rows.append(cells)
    return make_table(rows)


def varied_text(comparison: Comparison) -> str:
    """Say what varied between the runs of an interval: "3 seeds: data order"."""
    if comparison.interval is None:
        return "one run: no interval"
    words = ", ".join(comparison.interval.varied) or "nothing"
    return f"{comparison.pairs} seeds: {words}"


def p_text(value: float | None) -> str:
    """Write a corrected p-value with three decimals, or "<0.001"."""
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def fate_counts(fates: Sequence[tuple[str, int]]) -> str:
    """Count the verdicts of arms: "2 ↑ 1 ↓"."""
    return " ".join(f"{count} {VERDICT_MARKS.get(fate, fate)}" for fate, count in fates)


def lowest_seed(group: ArmGroup) -> ReportedArm | None:
    """Return the evaluated arm with the lowest seeds; None if no arm was evaluated."""
    evaluated = (arm for arm in group.arms if arm.outcome)
    return min(
        evaluated, key=lambda arm: (arm.policy_seed, arm.sampling_seed, arm.seed), default=None
    )


def _samples_command(group: ArmGroup, commands: Commands | None) -> str | None:
    first = lowest_seed(group)
    if not (commands and first and first.outcome):
        return None
    return commands.samples(first, step=first.outcome.step)


def _fate_cell(row: Result) -> Cell:
    under = f"{row.fallen} of {len(row.group.arms)} fell" if row.fallen else ""
    if len(row.fates) == 1:
        fate, count = row.fates[0]
        mark = VERDICT_MARKS.get(fate, "")
        return Cell(f"{mark} {fate}".strip(), f"{fate} {count}", verdict=fate, under=under)
    return text_cell(fate_counts(row.fates))._replace(under=under)


def _mean_cell(row: Result, command: str | None) -> Cell:
    values = row.group.accuracies
    span = f"{100 * min(values):.1f} to {100 * max(values):.1f}" if len(values) > 1 else ""
    return percent_cell(row.accuracy, command=command, under=span)


def difference_cell(
    comparison: Comparison | None, *, command: str | None = None, is_split: bool = False
) -> Cell:
    """Show a difference with its interval, and below it what varied between the runs."""
    if comparison is None:
        return EMPTY
    text = points_text(comparison.difference)
    if comparison.interval:
        text += f" {bracket_interval(comparison.interval, sign='+')}"
    if is_split:
        text += f" {SPLIT_MARK}"
    return Cell(text, comparison.difference, command=command, under=varied_text(comparison))


def p_cell(comparison: Comparison | None) -> Cell:
    """Show a corrected p-value."""
    value = comparison.p_holm if comparison else None
    return Cell(p_text(value), value)
