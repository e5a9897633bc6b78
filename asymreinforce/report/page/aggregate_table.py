"""Make the table of aggregates in the form of rliable, with one row per setting."""

from collections.abc import Sequence

from asymreinforce.report.page.cells import (
    EMPTY,
    Cell,
    Table,
    make_table,
    number_cell,
    percent_cell,
    setting_cell,
)
from asymreinforce.report.statistics.aggregates import Aggregated, Improvement


def aggregate_table(rows: Sequence[Aggregated], *, against: str | None) -> Table | None:
    """Make the table of aggregates; None if no setting was evaluated."""
    if not rows:
        return None
    return make_table([_row_cells(row, against) for row in rows])


def _row_cells(row: Aggregated, against: str | None) -> dict[str, Cell]:
    runs, accuracy = len(row.group.accuracies), row.accuracy
    quartiles = f"[{100 * accuracy.low_quartile:.1f}, {100 * accuracy.high_quartile:.1f}]"
    cells = {
        "setting": setting_cell(row.name, row.group),
        "seeds": number_cell(runs, "d"),
        "median, %": percent_cell(accuracy.median),
        "quartiles, %": Cell(quartiles, accuracy.high_quartile - accuracy.low_quartile),
        "IQM, %": percent_cell(accuracy.interquartile_mean),
        "P(above µ)": _probability_cell(row.over_behaviour),
    }
    if against is not None:
        cells[f"P(above {against})"] = _probability_cell(row.over_against)
    return cells


def _probability_cell(improvement: Improvement | None) -> Cell:
    if improvement is None:
        return EMPTY
    text = f"{improvement.probability:.2f}"
    if improvement.interval:
        text += f" [{improvement.interval.low:.2f}, {improvement.interval.high:.2f}]"
    return Cell(text, improvement.probability)
