"""Draw a phase diagram: accuracy as numbers and colours, × for collapsed arms, and the edge."""

from typing import TYPE_CHECKING

from asymreinforce.report.bandit.axes import make_panels
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing
from asymreinforce.report.figures.colours import INK, ON_DARK_CELL, ON_LIGHT_CELL
from asymreinforce.report.groups import signed_text
from scripts.paper.diagrams.cells import Cell, Diagram, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL_WIDTH, CELL_HEIGHT = 0.78, 0.54
"""The least size of a cell in inches, which has room for a number above a count."""

LEAST_WIDTH = 4.4
"""The least width of all cells together in inches, which has room for a title."""

ROW_LABEL = 0.09
"""Inches of a character in a row's label."""

DARK = 0.5
"""Below this share of the scale, cividis is dark and the numbers are pale."""


def draw_diagram(diagram: Diagram) -> Drawing:
    """Draw a diagram; the colours of all diagrams run from 0 to 100%, for comparison."""
    import matplotlib

    with matplotlib.rc_context(canvas.RC):
        return _draw_map(diagram)


def _draw_map(diagram: Diagram) -> Drawing:
    from matplotlib.figure import Figure

    labels = [row_label(row, diagram) for row in diagram.rows]
    left = 0.5 + ROW_LABEL * max(len(line) for text in labels for line in text.splitlines())
    columns, rows = len(diagram.baselines), len(diagram.rows)
    inside = max(LEAST_WIDTH, CELL_WIDTH * columns)
    width, height = left + inside + 0.2, CELL_HEIGHT * rows + 1.0
    title = f"{diagram.axis.title}: final accuracy, %"
    figure, (axes,) = make_panels([title], columns=1, width=width, right=0)
    assert isinstance(figure, Figure)
    figure.set_size_inches(width, height)
    axes.set_position((left / width, 0.6 / height, inside / width, CELL_HEIGHT * rows / height))
    axes.set_title(
        title, loc="left", x=-(left - 0.1) / inside, color=INK.light, fontsize=10.5,
        fontweight="bold",
    )  # fmt: skip
    _draw_cells(axes, diagram)
    _draw_edges(axes, diagram)
    axes.set_xticks(range(columns), [signed_text(value) for value in diagram.baselines])
    axes.set_yticks(range(rows), labels)
    axes.set(xlabel="baseline δV", ylabel=diagram.axis.words)
    return canvas.save_drawing(
        figure,
        name=diagram.axis.name,
        title=diagram.axis.title,
        caption="Numbers and colours: accuracy at the last step, the mean over seeds. × counts the "
        "seeds that collapsed. The line is the end of the safe region: left of it no arm of the "
        "row collapsed.",
    )


def row_label(row: Row, diagram: Diagram) -> str:
    """Return the label of a row: its value, mu if rows differ in mu, and steps if they vary.

    The label describes mu by its accuracy, and its share of worked answers if known.
    """
    parts = [row.label]
    if diagram.axis.is_of_behaviour and row.behaviour_accuracy is not None:
        parts.append(f"µ right {100 * row.behaviour_accuracy:.0f}%")
    if diagram.axis.is_of_behaviour and row.behaviour_worked is not None:
        parts.append(f"works {100 * row.behaviour_worked:.0f}%")
    if len({other.steps for other in diagram.rows}) > 1:
        parts.append(f"{' or '.join(map(str, row.steps))} steps")
    return "\n".join(parts)


def _draw_cells(axes: "Axes", diagram: Diagram) -> None:
    import numpy as np

    place = {baseline: column for column, baseline in enumerate(diagram.baselines)}
    grid = np.full((len(diagram.rows), len(place)), np.nan)
    for y, row in enumerate(diagram.rows):
        for cell in row.cells:
            grid[y, place[cell.baseline]] = cell.accuracy
            _write_cell(axes, cell, place[cell.baseline], y)
    axes.grid(False)
    axes.imshow(grid, cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto", origin="lower")


def _write_cell(axes: "Axes", cell: Cell, x: int, y: int) -> None:
    colour = (ON_DARK_CELL if cell.accuracy < DARK else ON_LIGHT_CELL).light
    lift = 0.17 if cell.collapsed else 0.0
    axes.text(
        x, y + lift, f"{100 * cell.accuracy:.0f}", ha="center", va="center", fontsize=10,
        fontweight="bold", color=colour,
    )  # fmt: skip
    if cell.collapsed:
        axes.text(
            x, y - 0.24, f"× {cell.collapsed} of {len(cell.accuracies)}", ha="center", va="center",
            fontsize=8.5, color=colour,
        )  # fmt: skip


def _draw_edges(axes: "Axes", diagram: Diagram) -> None:
    """Draw the end of the safe region in each row, pale and dark, to be visible on any cell."""
    place = {baseline: column for column, baseline in enumerate(diagram.baselines)}
    last = len(place) - 0.5
    xs = [last if row.edge.unsafe is None else place[row.edge.unsafe] - 0.5 for row in diagram.rows]
    for colour, dashes in ((ON_DARK_CELL, "-"), (ON_LIGHT_CELL, (0, (2, 2)))):
        axes.stairs(
            xs, [y - 0.5 for y in range(len(xs) + 1)], orientation="horizontal", baseline=None,
            color=colour.light, linewidth=2.4, linestyle=dashes, clip_on=False, zorder=4,
        )  # fmt: skip
