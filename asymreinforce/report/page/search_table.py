"""Make the table of searches, with one row per method."""

from collections.abc import Sequence

from asymreinforce.report.page.cells import Cell, Table, make_table, text_cell
from asymreinforce.report.searches import (
    SearchedMethod,
    accuracy_text,
    trials_text,
    values_text,
)


def search_table(methods: Sequence[SearchedMethod]) -> Table | None:
    """Make the table of searches; None if there was no search."""
    return make_table([_cells(method) for method in methods]) if methods else None


def _cells(method: SearchedMethod) -> dict[str, Cell]:
    record, best = method.record, method.record.best
    done = len(record.trials)
    return {
        "method": text_cell(method.name),
        "trials": Cell(f"{done} of {record.budget}", done),
        "best": Cell(
            values_text(best) if best else "none",
            next(iter(best.values.values())) if best else None,
        ),
        "validation, %": Cell(accuracy_text(best), best.accuracy if best else None),
        "all trials": Cell(trials_text(record), None),
    }
