"""Draw pass@k against k, for mu and for each setting after training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asymreinforce.report.coverage import Coverage, Line
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing, EndLabel
from asymreinforce.report.figures.colours import BEHAVIOUR, DOTTED, SOLID, Style
from asymreinforce.report.groups import ArmGroup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "coverage"
TITLE = "Prompts covered by k samples"
MOST_EVEN = 10
"""The largest k that is drawn on a linear axis; larger k are drawn on a logarithmic axis."""


def coverage_figure(
    coverage: Coverage | None, groups: Sequence[ArmGroup], styles: Sequence[Style], *, narrow: bool
) -> Drawing | None:
    """Draw the curves of pass@k; None if every curve is a single point."""
    own_K = coverage.rollouts.pass_at_K if coverage and coverage.rollouts else ()
    if coverage is None or max(coverage.k, len(own_K)) < 2:
        return None
    width, height = (3.6, 3.2) if narrow else (5.2, 3.6)
    of_group = {id(group): style for group, style in zip(groups, styles, strict=True)}
    names = [item.line.name for item in coverage.settings]
    figure, axes = canvas.blank_figure(
        width=width, height=height, labels=[*names, "µ"], title="pass@k, %"
    )
    ends = []
    for item in coverage.settings:
        ends.append(_draw_line(axes, item.line, of_group[id(item.group)]))
    if coverage.behaviour:
        ends.append(_draw_line(axes, coverage.behaviour, Style(BEHAVIOUR, SOLID, 2.2)))
    if coverage.rollouts:
        _draw_line(axes, coverage.rollouts, Style(BEHAVIOUR, DOTTED, 1.6))
    last = max(coverage.k, len(own_K))
    for end in ends if last > coverage.k else ():  # connect the line's end with its label
        axes.plot((coverage.k, last), (end.y, end.y), color=end.colour, linewidth=0.6, alpha=0.35)
    _scale_axes(axes, last)
    axes.set_xlabel("samples of a prompt, k")
    canvas.label_ends(axes, ends)
    caption = (
        "Share of evaluation prompts with at least one right answer among k samples, at the last "
        "step, averaged over seeds. The strong line is µ before training."
    )
    if coverage.rollouts:
        caption += f" The dotted line is {coverage.rollouts.name}, from its rollouts."
    return canvas.save_drawing(figure, name=NAME, title=TITLE, caption=caption, is_inline=narrow)


def _draw_line(axes: "Axes", line: Line, style: Style) -> EndLabel:
    values = [100 * share for share in line.pass_at_K]
    axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3.5, **style.line)
    return EndLabel(values[-1], line.name, style.colour.light)


def _scale_axes(axes: "Axes", last: int) -> None:
    marks = list(range(1, last + 1))
    if last > MOST_EVEN:
        axes.set_xscale("log", base=2)
        marks = [2**power for power in range(last.bit_length())]
    axes.set_xlim(1 if last > MOST_EVEN else 0.95, last)
    axes.set_ylim(0, 102)
    canvas.fix_ticks(axes.xaxis, marks, "{:g}".format)
