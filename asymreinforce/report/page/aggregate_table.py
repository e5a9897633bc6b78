"""The table of aggregates in the form of rliable: a row a setting."""

from collections.abc import Sequence

from asymreinforce.report.aggregates import Aggregated
from asymreinforce.report.page.arm_table import NOTHING, Cell, Table
from asymreinforce.report.statistics.aggregates import Improvement


def aggregate_table(rows: Sequence[Aggregated], *, against: str | None) -> Table | None:
    """Make the table; None if no setting was evaluated."""
    if not rows:
        return None
    cells = [_row_cells(row, against) for row in rows]
    return Table(tuple(cells[0]), tuple(tuple(row.values()) for row in cells))


def _row_cells(row: Aggregated, against: str | None) -> dict[str, Cell]:
    runs, accuracy = len(row.group.accuracies), row.accuracy
    quartiles = f"[{100 * accuracy.low_quartile:.1f}, {100 * accuracy.high_quartile:.1f}]"
    cells = {
        "setting": Cell(row.name, row.name if row.group.baseline is None else row.group.baseline),
        "seeds": Cell(str(runs), runs),
        "median, %": Cell(f"{100 * accuracy.median:.1f}", accuracy.median),
        "quartiles, %": Cell(quartiles, accuracy.high_quartile - accuracy.low_quartile),
        "IQM, %": Cell(f"{100 * accuracy.interquartile_mean:.1f}", accuracy.interquartile_mean),
        "P(above µ)": _probability_cell(row.over_behaviour),
    }
    if against is not None:
        cells[f"P(above {against})"] = _probability_cell(row.over_against)
    return cells


def _probability_cell(improvement: Improvement | None) -> Cell:
    if improvement is None:
        return Cell(NOTHING, None)
    text = f"{improvement.probability:.2f}"
    if improvement.interval:
        text += f" [{improvement.interval.low:.2f}, {improvement.interval.high:.2f}]"
    return Cell(text, improvement.probability)
