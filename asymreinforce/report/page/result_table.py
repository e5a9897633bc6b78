"""The table of results: a row a group of arms, with intervals and what varied under them."""

from collections.abc import Sequence

from asymreinforce.report.commands import Commands
from asymreinforce.report.groups import ArmGroup
from asymreinforce.report.page.arm_table import (
    NOTHING,
    VERDICT_MARKS,
    Cell,
    Table,
    bracket_interval,
)
from asymreinforce.report.results import GroupResults, Result
from asymreinforce.report.statistics.comparison import Comparison

SPLIT_MARK = "‡"


def result_table(results: GroupResults, commands: Commands | None) -> Table:
    """Make the table; each number's command shows the lowest seed, the others are in their rows."""
    rows = []
    for row in results.rows:
        command = _samples_command(row.group, commands)
        cells = {
            "setting": Cell(row.name, _sort_value(row.group, row.name)),
            "seeds": Cell(str(len(row.group.arms)), len(row.group.arms)),
            "ended": _fate_cell(row),
            "accuracy, %": _mean_cell(row, command),
            "against µ": difference_cell(
                row.against_behaviour, command=command, is_split=row.is_split
            ),
            "p": _p_cell(row.against_behaviour),
        }
        if results.against is not None:
            base = results.against
            cells[f"against {base}"] = difference_cell(
                row.against, command=command, is_split=row.is_split
            )
            cells[f"p, against {base}"] = _p_cell(row.against)
        rows.append(cells)
    return Table(tuple(rows[0]), tuple(tuple(cells.values()) for cells in rows))


def varied_text(comparison: Comparison) -> str:
    """Say what differed under an interval: "3 seeds: data order"."""
    if comparison.interval is None:
        return "one run: no interval"
    words = ", ".join(comparison.interval.varied) or "nothing"
    return f"{comparison.pairs} seeds: {words}"


def p_text(value: float | None) -> str:
    """Write a corrected p-value."""
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def points_text(value: float) -> str:
    """Write a difference of shares in points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−")


def fate_counts(fates: Sequence[tuple[str, int]]) -> str:
    """Count how arms ended: "2 ↑ 1 ↓"."""
    return " ".join(f"{count} {VERDICT_MARKS.get(fate, fate)}" for fate, count in fates)


def _samples_command(group: ArmGroup, commands: Commands | None) -> str | None:
    evaluated = [arm for arm in group.arms if arm.outcome]
    if not commands or not evaluated:
        return None
    first = min(evaluated, key=lambda arm: (arm.policy_seed, arm.sampling_seed, arm.seed))
    return commands.samples(first, step=first.outcome.step) if first.outcome else None


def _sort_value(group: ArmGroup, name: str) -> float | str:
    return name if group.baseline is None else group.baseline


def _fate_cell(row: Result) -> Cell:
    under = f"{row.fallen} of {len(row.group.arms)} fell" if row.fallen else ""
    if len(row.fates) == 1:
        fate, count = row.fates[0]
        mark = VERDICT_MARKS.get(fate, "")
        return Cell(f"{mark} {fate}".strip(), f"{fate} {count}", verdict=fate, under=under)
    return Cell(fate_counts(row.fates), fate_counts(row.fates), under=under)


def _mean_cell(row: Result, command: str | None) -> Cell:
    if row.accuracy is None:
        return Cell(NOTHING, None)
    values = row.group.accuracies
    span = f"{100 * min(values):.1f} to {100 * max(values):.1f}" if len(values) > 1 else ""
    return Cell(f"{100 * row.accuracy:.1f}", row.accuracy, command=command, under=span)


def difference_cell(
    comparison: Comparison | None, *, command: str | None = None, is_split: bool = False
) -> Cell:
    """Show a difference with its interval, and below what varied under it."""
    if comparison is None:
        return Cell(NOTHING, None)
    text = points_text(comparison.difference)
    if comparison.interval:
        text += f" {bracket_interval(comparison.interval, sign='+')}"
    if is_split:
        text += f" {SPLIT_MARK}"
    return Cell(text, comparison.difference, command=command, under=varied_text(comparison))


def _p_cell(comparison: Comparison | None) -> Cell:
    value = comparison.p_holm if comparison else None
    return Cell(p_text(value), value)
