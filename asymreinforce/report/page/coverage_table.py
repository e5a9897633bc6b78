"""The table of coverage: mu before training, then each setting at its last step."""

from asymreinforce.report.coverage import Coverage, Line
from asymreinforce.report.page.arm_table import NOTHING, Cell, Table


def coverage_table(coverage: Coverage) -> Table:
    """Make the table: pass@1 and pass@k, what is distinct among k samples, and entropy."""
    behaviour = [(coverage.behaviour, None)] if coverage.behaviour else []
    lines = [*behaviour, *((item.line, item.group.baseline) for item in coverage.settings)]
    rows = [tuple(_line_cells(line, baseline, coverage.k).values()) for line, baseline in lines]
    return Table(tuple(_line_cells(lines[0][0], None, coverage.k)), tuple(rows))


def _line_cells(line: Line, baseline: float | None, k: int) -> dict[str, Cell]:
    cells = {
        "setting": Cell(line.name, line.name if baseline is None else baseline),
        "runs": Cell(str(line.runs), line.runs),
        "pass@1, %": Cell(f"{100 * line.accuracy:.1f}", line.accuracy),
    }
    if k > 1:
        cells |= {
            f"pass@{k}, %": Cell(f"{100 * line.covered:.1f}", line.covered),
            f"answers of {k}": _number_cell(line.answers_at_K[-1]),
            f"completions of {k}": _number_cell(line.completions_at_K[-1]),
        }
    return cells | {"entropy, nats": _number_cell(line.entropy)}


def _number_cell(value: float | None) -> Cell:
    return Cell(NOTHING, None) if value is None else Cell(f"{value:.2f}", value)
