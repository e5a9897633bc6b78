"""Make the table of coverage: mu before training, then each setting at its last step."""

from asymreinforce.report.coverage import Coverage, Line
from asymreinforce.report.page.cells import (
    Cell,
    Table,
    make_table,
    number_cell,
    percent_cell,
    setting_cell,
    text_cell,
)


def coverage_table(coverage: Coverage) -> Table:
    """Make the table: pass@1, pass@k, distinct answers and completions of k, and entropy."""
    mu, k = coverage.behaviour, coverage.k
    rows = [_line_cells(text_cell(mu.name), mu, k)] if mu else []
    rows += [
        _line_cells(setting_cell(item.line.name, item.group), item.line, k)
        for item in coverage.settings
    ]
    return make_table(rows)


def _line_cells(name: Cell, line: Line, k: int) -> dict[str, Cell]:
    cells = {
        "setting": name,
        "runs": number_cell(line.runs, "d"),
        "pass@1, %": percent_cell(line.accuracy),
    }
    if k > 1:
        cells |= {
            f"pass@{k}, %": percent_cell(line.covered),
            f"answers of {k}": number_cell(line.answers_at_K[-1], ".2f"),
            f"completions of {k}": number_cell(line.completions_at_K[-1], ".2f"),
        }
    return cells | {"entropy, nats": number_cell(line.entropy, ".2f")}
