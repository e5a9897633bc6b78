"""Make the panels that all figures of the theory bench share, with V^mu and its colours.

Lines for V below the mean reward of mu are blue and solid; lines for V above V^mu are orange and
dashed, as in the report of an experiment.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asymreinforce.report.bandit.bench import Spread
from asymreinforce.report.figures.canvas import fix_ticks
from asymreinforce.report.figures.colours import (
    ABOVE_CRITICAL,
    CATEGORIES,
    DASH_DOTTED,
    DASHED,
    INK,
    MUTED,
    SOLID,
    Style,
)
from asymreinforce.report.groups import signed_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_WIDTH, PANEL_HEIGHT = 4.3, 3.2
LEFT, BOTTOM, TOP = 0.68, 0.62, 0.5
"""The space to the left of, below and above a panel's axes, in inches."""

V_MU = r"$V^\mu$"
V_0_MU = r"$V_{0,\mu}$"
MU = r"$\mu$"

CATEGORY_STYLES = tuple(
    Style(colour, dashes, 1.8)
    for colour, dashes in zip(CATEGORIES, (SOLID, DASHED, DASH_DOTTED), strict=True)
)
"""Blue, orange and green lines, which also differ in their dashes."""

MARKS = "os^Dv"


def make_panels(
    titles: Sequence[str], *, columns: int, right: float = 0.25, width: float = PANEL_WIDTH
) -> "tuple[Figure, list[Axes]]":
    """Return a figure with one panel per title; `right` inches beside each are for labels."""
    from matplotlib.figure import Figure

    rows = -(-len(titles) // columns)
    size = (columns * (width + right), rows * PANEL_HEIGHT)
    figure = Figure(figsize=size)
    axes = []
    for index, title in enumerate(titles):
        row, column = divmod(index, columns)
        left = column * (width + right) + LEFT
        bottom = (rows - 1 - row) * PANEL_HEIGHT + BOTTOM
        box = (left, bottom, width - LEFT, PANEL_HEIGHT - BOTTOM - TOP)
        place = (box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1])
        axes.append(figure.add_axes(place))
        axes[-1].set_title(title, fontsize=10, pad=17)
    return figure, axes


def signed_offset(offset: float) -> str:
    """Write V - V^mu with its sign, a true minus, and three significant digits."""
    return signed_text(offset, digits=3)


def mark_critical(axes: "Axes", *, words: str = f"V = {V_MU}") -> None:
    """Draw a vertical line at x = 0, the critical value of V, and shade the side above 0."""
    axes.axvspan(0, axes.get_xlim()[1], color=ABOVE_CRITICAL.light, linewidth=0, zorder=-2)
    axes.axvline(0, color=INK.light, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1)
    write_above(axes, 0, words, align="center")


def write_above(axes: "Axes", x: float, words: str, *, align: str) -> None:
    """Write words between a panel and its title, at a value `x` of the x axis."""
    axes.annotate(
        words, (x, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
        textcoords="offset points", ha=align, va="bottom", fontsize=8.5, color=MUTED.light,
    )  # fmt: skip


def draw_spread(axes: "Axes", spread: Spread, style: Style, *, label: str | None = None) -> None:
    """Draw the median as a line, with a band from the 10 % to the 90 % quantile."""
    colour = style.colour.light
    axes.fill_between(spread.places, spread.low, spread.high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(spread.places, spread.median, label=label, **style.line)


def offset_scale(axes: "Axes", offsets: Sequence[float]) -> None:
    """Make the x axis symmetric logarithmic in V - V^mu, linear below the smallest offset."""
    sizes = sorted({abs(offset) for offset in offsets if offset})
    smallest, largest = (sizes[0], sizes[-1]) if sizes else (0.01, 0.1)
    axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    axes.set_xlim(1.25 * min(*offsets, -smallest), 1.25 * max(*offsets, smallest))
    powers = [
        10.0**power for power in range(-6, 3) if smallest <= 1.01 * 10.0**power <= 2 * largest
    ]
    marks = [sign * mark for mark in powers or [smallest] for sign in (-1, 1)]
    fix_ticks(axes.xaxis, [0.0, *marks], signed_offset)
