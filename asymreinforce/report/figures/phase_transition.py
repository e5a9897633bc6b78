"""Draw the phase transition: final accuracy against the baseline (Arnal et al., Sec. 5).

Each seed is a dot, and a line joins the means. A horizontal line is mu's accuracy, and a vertical
line is the critical baseline: V is below the mean reward of µ on its left, and above on its right.
"""

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing, EndLabel
from asymreinforce.report.figures.colours import (
    ABOVE_CRITICAL,
    BEHAVIOUR,
    INK,
    MUTED,
    SURFACE,
    Style,
)
from asymreinforce.report.figures.critical import Critical, critical_values
from asymreinforce.report.groups import ArmGroup, Family, group_label, mean, signed_text, told_apart
from asymreinforce.report.records import Experiment
from asymreinforce.report.words import words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "os^D"
LINES: tuple[str | tuple[float, tuple[float, ...]], ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), "-.")
MOST_VALUES = 12
WIDE, NARROW = (5.2, 3.8), (3.6, 3.5)
"""Width and height of the figure, in inches."""

# many objectives with one baseline each are a table, and would crowd the figure
MOST_FAMILIES = 6
"""The number of families whose names fit beside the figure."""

TICK_ROOM = 0.08
"""The least distance between the labels of two ticks, in inches."""


DOT, NUMBER_HEIGHT = 4.0, 10.0
"""The radius of a dot, and the height of a number beside it, in points."""


class SheetBox(NamedTuple):
    """A rectangle on the figure, in points."""

    left: float
    right: float
    bottom: float
    top: float

    def covers(self, other: "SheetBox") -> bool:
        """Tell whether the two rectangles overlap."""
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.top <= other.bottom or other.top <= self.bottom)


def phase_transition(
    experiment: Experiment,
    groups: Sequence[ArmGroup],
    styles: Sequence[Style],
    *,
    narrow: bool = False,
) -> Drawing | None:
    """Draw final accuracy against baseline; None if no arm with a baseline was evaluated.

    If there are more than `MOST_FAMILIES` families, only those with several baselines are drawn.
    `narrow` is for a small screen: text of the same size on a smaller figure.
    """
    evaluated = [
        (group, style) for group, style in zip(groups, styles, strict=True) if group.accuracies
    ]
    swept = [(group, style) for group, style in evaluated if group.baseline is not None]
    swept = _drawable(swept)
    if not swept:
        return None
    level = [(group, style) for group, style in evaluated if group.baseline is None]
    split = experiment.split.replace("_", "-")
    title = f"Final {split} accuracy against baseline"
    families = list(dict.fromkeys(group.family for group, _ in swept))
    names = [_level_name(group, groups) for group, _ in level]
    if len(families) > 1:
        names += [_family_name(family, families) for family in families]
    width, height = NARROW if narrow else WIDE
    sheet_title = "Final accuracy, %" if narrow else f"{title}, %"
    figure, axes = canvas.blank_figure(width=width, height=height, labels=names, title=sheet_title)

    # several references can have the same critical baseline
    criticals = list(dict.fromkeys(critical_values(experiment, [group for group, _ in swept])))
    baselines = sorted({group.baseline for group, _ in swept if group.baseline is not None})
    left, right = _axis_limits([*baselines, *(critical.value for critical in criticals)])
    _mark_critical(axes, criticals, right=right)
    ends = _draw_families(axes, swept, families, width=right - left)
    for group, style in level:
        percent = 100 * mean(group.accuracies)
        axes.axhline(percent, **style.line)
        ends.append(EndLabel(percent, _level_name(group, groups), style.colour.light))
    _mark_behaviour(axes, experiment)
    axes.set_xlim(left, right)
    _mark_baselines(axes, baselines)
    axes.set_ylim(0, 104)
    if len(swept) <= MOST_VALUES and len(families) == 1:
        _write_means(axes, [group for group, _ in swept])
    references = {group.baseline_reference for group, _ in swept}
    axes.set_xlabel(_name_of_baseline(references, is_short=narrow))
    canvas.label_ends(axes, ends)
    caption = (
        "Each dot is the last checkpoint of one arm (one seed); the line joins the means over "
        "seeds; "
        + "; ".join(f"the dashed vertical line is at {critical.words}" for critical in criticals)
        + "."
    )
    return canvas.save_drawing(
        figure, name="phase-transition", title=title, caption=caption, is_inline=narrow
    )


def _draw_families(
    axes: "Axes",
    swept: list[tuple[ArmGroup, Style]],
    families: list[Family],
    *,
    width: float,
) -> list[EndLabel]:
    """Draw the dots and the mean line of each family; return labels if there are several."""
    ends = []
    for rank, family in enumerate(families):
        members = [(group, style) for group, style in swept if group.family == family]
        means = [(group.baseline, 100 * mean(group.accuracies)) for group, _ in members]
        axes.plot(
            *zip(*means, strict=True), color=INK.light, linewidth=1.4,
            linestyle=LINES[rank % len(LINES)], zorder=3,
        )  # fmt: skip
        for group, style in members:
            x = [_move_apart(group.baseline or 0.0, i, len(group.accuracies), width)
                 for i in range(len(group.accuracies))]  # fmt: skip
            axes.scatter(
                x, [100 * value for value in group.accuracies], s=30, zorder=4, alpha=0.85,
                marker=MARKERS[rank % len(MARKERS)], color=style.colour.light, linewidths=0,
            )  # fmt: skip
        if len(families) > 1:
            ends.append(EndLabel(means[-1][1], _family_name(family, families), INK.light))
    return ends


def _write_means(axes: "Axes", swept: list[ArmGroup]) -> None:
    """Write each mean above or below its dots, if it covers no other dot and no other number.

    A mean that fits in neither place is left out, since the table of results has it.
    """
    places = [
        [_sheet_points(axes, group.baseline or 0.0, 100 * a) for a in group.accuracies]
        for group in swept
    ]
    taken = [SheetBox(x - DOT, x + DOT, y - DOT, y + DOT) for dots in places for x, y in dots]
    floor, ceiling = (_sheet_points(axes, 0.0, edge)[1] for edge in axes.get_ylim())
    for group, dots in zip(swept, places, strict=True):
        text = f"{100 * mean(group.accuracies):.0f}"
        half = 72 * canvas.CHARACTER_WIDTH * len(text) / 2
        x = _sheet_points(axes, group.baseline or 0.0, 0.0)[0]
        for y, side in ((max(y for _, y in dots), 1), (min(y for _, y in dots), -1)):
            low, high = sorted((y + side * DOT, y + side * (DOT + NUMBER_HEIGHT)))
            box = SheetBox(x - half, x + half, low, high)
            if low < floor or high > ceiling or any(map(box.covers, taken)):
                continue
            taken.append(box)
            axes.annotate(
                text, (x, y + side * (DOT + 2)), xycoords="figure points", ha="center",
                va="bottom" if side > 0 else "top", color=INK.light, fontsize=9,
                fontweight="bold", zorder=5,
                bbox={"facecolor": SURFACE.light, "alpha": 0.75, "linewidth": 0, "pad": 0.8},
            )  # fmt: skip
            break


def _sheet_points(axes: "Axes", x: float, y: float) -> tuple[float, float]:
    """Return the place of a value on the figure, in points from the lower left corner."""
    right, up = axes.transData.transform((x, y)) * 72 / axes.figure.dpi
    return float(right), float(up)


def _drawable(swept: list[tuple[ArmGroup, Style]]) -> list[tuple[ArmGroup, Style]]:
    """Leave out families with one baseline if there are more than `MOST_FAMILIES`."""
    baselines: dict[Family, set[float | None]] = defaultdict(set)
    for group, _ in swept:
        baselines[group.family].add(group.baseline)
    if len(baselines) <= MOST_FAMILIES:
        return swept
    return [(group, style) for group, style in swept if len(baselines[group.family]) > 1]


def _mark_baselines(axes: "Axes", baselines: list[float]) -> None:
    """Put a tick at each of a few baselines, and labels on those that do not overlap."""
    if len(baselines) > MOST_VALUES:
        return
    left, right = axes.get_xlim()
    inches = axes.get_window_extent().width / axes.figure.dpi / (right - left)
    labels = [signed_text(baseline) for baseline in baselines]
    widths = [canvas.CHARACTER_WIDTH * len(label) for label in labels]
    places = [inches * (baseline - left) for baseline in baselines]
    # the critical baseline 0 keeps its label whatever else fits
    zero = next((rank for rank, baseline in enumerate(baselines) if not baseline), None)
    shown: list[int] = [] if zero is None else [zero]
    for rank in range(len(baselines)):
        is_clear = all(
            abs(places[rank] - places[other]) >= (widths[rank] + widths[other]) / 2 + TICK_ROOM
            for other in shown
        )
        if is_clear:
            shown.append(rank)
    axes.set_xticks(baselines, [labels[i] if i in shown else "" for i in range(len(labels))])


def _mark_critical(axes: "Axes", criticals: list[Critical], *, right: float) -> None:
    if not criticals:
        return
    for value in dict.fromkeys(critical.value for critical in criticals):
        axes.axvline(value, color=MUTED.light, linewidth=1.2, linestyle=(0, (4, 2)), zorder=2)
    last = max(criticals, key=lambda critical: critical.value)
    axes.axvspan(last.value, right, color=ABOVE_CRITICAL.light, linewidth=0, zorder=0)
    axes.annotate(
        last.label, (last.value, 1.0), xycoords=("data", "axes fraction"), xytext=(5, -3),
        textcoords="offset points", ha="left", va="top", color=MUTED.light, fontsize=9,
    )  # fmt: skip


def _mark_behaviour(axes: "Axes", experiment: Experiment) -> None:
    accuracy = experiment.behaviour_accuracy
    if accuracy is None:
        return
    axes.axhline(100 * accuracy, color=BEHAVIOUR.light, linewidth=1.4)
    mean_of = "" if experiment.policies == 1 else f", mean of {experiment.policies}"
    axes.annotate(
        f"µ  {100 * accuracy:.1f}{mean_of}", (0.0, 100 * accuracy),
        xycoords=("axes fraction", "data"), xytext=(5, 3), textcoords="offset points",
        ha="left", va="bottom", color=BEHAVIOUR.light, fontweight="bold",
    )  # fmt: skip


def _axis_limits(values: list[float]) -> tuple[float, float]:
    span = (max(values) - min(values)) or 0.2
    return min(values) - 0.08 * span, max(values) + 0.08 * span


def _move_apart(baseline: float, rank: int, count: int, width: float) -> float:
    """Move the dots of several seeds apart, by at most 1% of the axis to each side."""
    return baseline + width * 0.01 * (2 * rank / (count - 1) - 1 if count > 1 else 0.0)


def _name_of_baseline(references: set[str], *, is_short: bool) -> str:
    names = [words_of(reference).axis for reference in references]
    name = names[0] if len(names) == 1 else "baseline"
    return name.split("  ")[0] if is_short else name


def _level_name(group: ArmGroup, groups: Sequence[ArmGroup]) -> str:
    """Write the label of a group without a baseline: name and accuracy, in short lines."""
    return textwrap.fill(
        f"{group_label(group, groups)} {100 * mean(group.accuracies):.1f}", width=10
    )


def _family_name(family: Family, among: Sequence[Family]) -> str:
    algorithm, reference, others = family
    settings = ", ".join(told_apart(others, (other[-1] for other in among)))
    return settings or f"{algorithm}, {reference.replace('_', ' ')}"
