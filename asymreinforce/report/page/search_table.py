"""Make the table of searches, with one row per method."""

from collections.abc import Sequence

from asymreinforce.report.page.cells import Cell, Table
from asymreinforce.report.searches import (
    SearchedMethod,
    accuracy_text,
    trials_text,
    values_text,
)


def search_table(methods: Sequence[SearchedMethod]) -> Table | None:
    """Make the table of searches; None if there was no search."""
    if not methods:
        return None
    rows = [_cells(method) for method in methods]
    return Table(tuple(rows[0]), tuple(tuple(row.values()) for row in rows))


def _cells(method: SearchedMethod) -> dict[str, Cell]:
    record, best = method.record, method.record.best
    done = len(record.trials)
    return {
        "method": Cell(method.name, method.name),
        "trials": Cell(f"{done} of {record.budget}", done),
        "best": Cell(
            values_text(best) if best else "none",
            next(iter(best.values.values())) if best else None,
        ),
        "validation, %": Cell(accuracy_text(best), best.accuracy if best else None),
        "all trials": Cell(trials_text(record), None),
    }
