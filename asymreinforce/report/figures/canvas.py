"""Make figures in the report's style: blank axes, labels at line ends, and bytes of the files.

Only matplotlib's figure objects are used, with the Agg and SVG writers: no global state of pyplot,
no window, and the same bytes for the same data.
"""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from asymreinforce.report.figures.colours import GRID, INK, MUTED, SURFACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Item = TypeVar("Item")

TICKS = {"color": MUTED.light, "labelcolor": MUTED.light, "major.size": 3}
RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "asymreinforce",  # fixed, so that ids are the same in every run
    "text.parse_math": False,  # labels hold settings, in which a `$` is only a `$`
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.5,
    "axes.unicode_minus": True,
    "path.simplify": True,
    # blank axes: two spines and a pale horizontal grid
    "figure.facecolor": SURFACE.light,
    "axes.facecolor": SURFACE.light,
    "axes.edgecolor": MUTED.light,
    "axes.labelcolor": MUTED.light,
    "axes.titlecolor": INK.light,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID.light,
    "grid.linewidth": 0.7,
    **{f"{axis}tick.{key}": value for axis in "xy" for key, value in TICKS.items()},
    # a pale background, so that a legend is readable over lines
    "legend.fontsize": 8.5,
    "legend.framealpha": 0.85,
    "legend.edgecolor": GRID.light,
    "legend.labelcolor": INK.light,
    "legend.handlelength": 2.6,
}
"""Matplotlib's settings for every figure."""

PNG_DPI = 160
MOST_LABELS = 12
LONGEST_LABEL = 26
CHARACTER_WIDTH = 0.078
"""The approximate width in inches of a 9.5 point character in DejaVu Sans."""

LINE_HEIGHT = 0.165
"""The distance in inches from one line of 9.5 point text to the next."""


class Drawing(NamedTuple):
    """A finished figure: the stem of its files, its title, its caption, and the files' bytes."""

    name: str
    title: str
    caption: str
    svg: bytes
    png: bytes


class EndLabel(NamedTuple):
    """A label at the right end of a line, at height `y` in data coordinates."""

    y: float
    text: str
    colour: str


def blank_figure(
    *, width: float, height: float, labels: Sequence[str], title: str
) -> "tuple[Figure, Axes]":
    """Return a figure (inches) and its axes, with room on the right for the longest label."""
    from matplotlib.figure import Figure  # heavy, and `asymrl --help` must answer at once

    figure = Figure(figsize=(width, height))
    lines = [line for text in labels for line in shorten_label(text).splitlines()]
    longest = max((len(line) for line in lines), default=0)
    right = (0.22 + CHARACTER_WIDTH * longest) / width
    axes = figure.add_axes((0.6 / width, 0.5 / height, 1 - 0.6 / width - right, 1 - 0.9 / height))
    axes.set_title(title, fontsize=10.5, pad=9)
    return figure, axes


def label_ends(axes: "Axes", labels: Sequence[EndLabel]) -> None:
    """Write each label at its line's end; labels of lines that end close together move apart."""
    chosen = choose_evenly(labels, MOST_LABELS)
    to_axes = axes.transData + axes.transAxes.inverted()
    x_right = axes.get_xlim()[1]
    ends = [float(to_axes.transform((x_right, label.y))[1]) for label in chosen]
    height = axes.get_window_extent().height / axes.figure.dpi
    gap = LINE_HEIGHT * max((len(label.text.splitlines()) for label in chosen), default=1) / height
    for label, end, place in zip(chosen, ends, spread_apart(ends, gap=gap), strict=True):
        axes.plot(
            (1.005, 1.03), (end, place), transform=axes.transAxes, color=label.colour,
            linewidth=0.8, clip_on=False,
        )  # fmt: skip
        axes.text(
            1.038, place, shorten_label(label.text), transform=axes.transAxes, color=label.colour,
            va="center", ha="left",
        )  # fmt: skip


def choose_evenly(values: Sequence[Item], most: int) -> list[Item]:
    """Return all values, or `most` evenly spaced values with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / max(1, most - 1))] for i in range(most)]


def spread_apart(places: Sequence[float], *, gap: float) -> list[float]:
    """Move places in [0, 1] apart until neighbours are `gap` from each other, in the same order.

    If the places do not all fit, they overflow the upper end, evenly spaced.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = [min(max(places[i], 0.0), 1.0) for i in order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    for i in range(len(moved) - 1, -1, -1):
        ceiling = 1.0 if i == len(moved) - 1 else moved[i + 1] - gap
        moved[i] = max(min(moved[i], ceiling), gap * i)
    result = [0.0] * len(moved)
    for i, place in zip(order, moved, strict=True):
        result[i] = place
    return result


def fix_ticks(
    axis: "Axis", marks: Sequence[float], text: Callable[[float], str] | None = None
) -> None:
    """Put ticks only at the marks, labelled by `text` or by `tick_number`."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set_major_locator(FixedLocator(marks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: (text or tick_number)(value)))


def tick_number(value: float) -> str:
    """Write a tick's number with thousands as "k" and a true minus sign."""
    text = f"{value:g}" if abs(value) < 1000 else f"{value / 1000:g}k"
    return text.replace("-", "−")


def shorten_label(text: str) -> str:
    """Cut a label to `LONGEST_LABEL` characters, so that the figure keeps its room."""
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def save_drawing(
    figure: "Figure", *, name: str, title: str, caption: str, is_inline: bool = False
) -> Drawing:
    """Write a figure as SVG and PNG; the same figure gives the same bytes.

    A figure that is only shown inside a page (`is_inline`) has no PNG.
    """
    svg, png = io.BytesIO(), io.BytesIO()
    # a date or a version in the metadata would change the bytes
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(svg, format="svg", metadata=nothing)
    if not is_inline:
        figure.savefig(png, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return Drawing(name, title, caption, svg.getvalue(), png.getvalue())
