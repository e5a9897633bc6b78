"""Describe the end of the safe region in sentences and a table, from a diagram's cells."""

from collections import defaultdict
from collections.abc import Sequence

from asymreinforce.report.bandit.words import BEYOND, Finding, join_words
from asymreinforce.report.groups import signed_text
from scripts.paper.diagrams.cells import Cell, Diagram, Edge, Row
from scripts.paper.diagrams.maps import row_label


def diagram_findings(diagram: Diagram) -> list[Finding]:
    """Describe the end of the safe region in each row, whether it moves, and the seeds."""
    edges: dict[Edge, list[Row]] = defaultdict(list)
    for row in diagram.rows:
        edges[row.edge].append(row)
    findings = [
        Finding(BEYOND, f"{_row_words(rows, diagram)}: {_end_words(edge, rows)}.")
        for edge, rows in edges.items()
    ]
    if len(edges) == 1:
        findings.append(Finding(BEYOND, "The end of the safe region does not move on this grid."))
    return [
        *findings,
        Finding(BEYOND, _best_sentence(diagram)),
        Finding(BEYOND, _seeds_sentence(diagram)),
    ]


def end_of(edge: Edge) -> str:
    """Return the baselines between which the safe region ends, as a cell of a table."""
    if edge.unsafe is None:
        return "none collapsed"
    if edge.safe is None:
        return f"at or below {signed_text(edge.unsafe)}"
    return f"{signed_text(edge.safe)} to {signed_text(edge.unsafe)}"


def cell_text(cell: Cell | None) -> str:
    """Return the accuracy of a cell in %, and the number of its collapsed seeds."""
    if cell is None:
        return "–"
    collapsed = f" (× {cell.collapsed} of {len(cell.accuracies)})" if cell.collapsed else ""
    return f"{100 * cell.accuracy:.1f}{collapsed}"


def diagram_table(diagram: Diagram) -> list[list[str]]:
    """Return the diagram as rows of text, titles first."""
    titles = [diagram.axis.words, *(signed_text(value) for value in diagram.baselines)]
    rows = [[*titles, "safe region ends"]]
    for row in diagram.rows:
        cells = {cell.baseline: cell for cell in row.cells}
        texts = [cell_text(cells.get(baseline)) for baseline in diagram.baselines]
        rows.append([_row_name(row, diagram), *texts, end_of(row.edge)])
    return rows


def _row_name(row: Row, diagram: Diagram) -> str:
    return row_label(row, diagram).replace("\n", ", ")


def _row_words(rows: Sequence[Row], diagram: Diagram) -> str:
    symbol = diagram.axis.symbol
    return f"{symbol[0].upper()}{symbol[1:]} = {join_words(row.label for row in rows)}"


def _end_words(edge: Edge, rows: Sequence[Row]) -> str:
    if edge.unsafe is None:
        highest = min(row.cells[-1].baseline for row in rows)
        return f"no arm collapsed, up to the highest baseline tried, {signed_text(highest)}"
    at = [cell for row in rows for cell in row.cells if cell.baseline == edge.unsafe]
    collapsed, count = sum(cell.collapsed for cell in at), sum(len(c.accuracies) for c in at)
    arms = f"{collapsed} of {count} {'arm' if count == 1 else 'arms'}"
    if edge.safe is None:
        return f"{arms} collapsed at {signed_text(edge.unsafe)} already, the lowest baseline tried"
    return (
        f"the largest baseline without a collapse is {signed_text(edge.safe)}; at "
        f"{signed_text(edge.unsafe)}, {arms} collapsed"
    )


def _best_sentence(diagram: Diagram) -> str:
    """Name the baseline that ends highest in each row."""
    tops = [(max(row.cells, key=lambda cell: cell.accuracy), row) for row in diagram.rows]
    told = join_words(
        f"{signed_text(cell.baseline)} for {row.label} ({100 * cell.accuracy:.1f}%)"
        for cell, row in tops
    )
    return f"The baseline that ends highest, by {diagram.axis.symbol}: {told}."


def _seeds_sentence(diagram: Diagram) -> str:
    low = min(row.seeds[0] for row in diagram.rows)
    high = max(row.seeds[1] for row in diagram.rows)
    seeds = f"{low}" if low == high else f"{low} to {high}"
    word = "seed" if seeds == "1" else "seeds"
    return (
        f"{diagram.arms} arms, {seeds} {word} a cell: a cell without a collapse says that none of "
        "these collapsed by the last step, not that none would."
    )
