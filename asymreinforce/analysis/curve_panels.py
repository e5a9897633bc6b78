"""Curves against training steps: a line a group, the band from its lowest to its highest seed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from asymreinforce.analysis import canvas
from asymreinforce.analysis.canvas import Drawing, EndLabel
from asymreinforce.analysis.colours import BEHAVIOUR, MUTED, Style
from asymreinforce.analysis.groups import Band, Group, band, label
from asymreinforce.analysis.records import Arm, Experiment, Point, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 4.9, 3.3
LINEAR_UP_TO = 1.0
WIDE_RANGE = 30.0
"""Beyond this magnitude a panel that allows it is drawn on a symmetric logarithmic axis."""


class Panel(NamedTuple):
    """What a panel shows: `series(arm, split)` is empty where an arm has no such thing."""

    name: str
    title: str
    unit: str
    caption: str
    series: Callable[[Arm, str], Series]
    scale: float = 1.0
    may_be_logarithmic: bool = False


def _accuracy(arm: Arm, split: str) -> Series:
    return tuple(Point(c.step, c.accuracy) for c in arm.checkpoints if c.split == split)


def _metric(*names: str) -> Callable[[Arm, str], Series]:
    """Return a reader of the first of these metrics that an arm has."""

    def series(arm: Arm, split: str) -> Series:
        return next((arm.metrics[name] for name in names if name in arm.metrics), ())

    return series


def _sampled_entropy(arm: Arm, split: str) -> Series:
    found = (c for c in arm.checkpoints if c.split == split and c.entropy is not None)
    return tuple(Point(c.step, c.entropy) for c in found if c.entropy is not None)


def _pass_at_k(arm: Arm, split: str) -> Series:
    return tuple(
        Point(c.step, c.pass_at_k) for c in arm.checkpoints if c.split == split and c.k > 1
    )


PANELS = (
    Panel(
        "accuracy", "{Split} accuracy", "%",
        "Accuracy on prompts that training never saw; the horizontal line is the behaviour policy.",
        _accuracy, scale=100,
    ),
    Panel(
        "train-accuracy", "Train accuracy", "%",
        "The same on a part of the training prompts, freshly sampled.",
        lambda arm, split: _accuracy(arm, "train"), scale=100,
    ),
    Panel(
        "pass-at-k", "{Split} pass@k", "%",
        "Prompts of which at least one of k samples is correct.", _pass_at_k, scale=100,
    ),
    Panel(
        "entropy", "Entropy of {split} samples", "nats",
        "Entropy of the completions sampled in evaluation.", _sampled_entropy,
    ),
    Panel(
        "token-entropy", "Token entropy", "nats",
        "Mean entropy of the next token, along the fixed slice of rollouts.",
        _metric("token_entropy"),
    ),
    Panel(
        "logp-correct", "Log-probability, correct", "nats",
        "Mean log π of the behaviour policy's correct completions.",
        _metric("slice_logp_correct", "logp_correct"), may_be_logarithmic=True,
    ),
    Panel(
        "logp-incorrect", "Log-probability, incorrect", "nats",
        "Mean log π of the behaviour policy's incorrect completions.",
        _metric("slice_logp_incorrect", "logp_incorrect"), may_be_logarithmic=True,
    ),
    Panel(
        "kl", "KL(µ ‖ π)", "nats",
        "Distance from the behaviour policy, on the fixed slice of rollouts.",
        _metric("kl"), may_be_logarithmic=True,
    ),
    Panel(
        "ess", "Effective sample size", "",
        "Of the self-normalised weights π/µ on the slice. It reads high when π leaves all samples "
        "evenly.", _metric("ess"),
    ),
)  # fmt: skip


def curve_panels(
    experiment: Experiment, groups: Sequence[Group], styles: Sequence[Style]
) -> list[Drawing]:
    """Draw each panel for which some arm has a series."""
    drawn = (_draw(panel, experiment, groups, styles) for panel in PANELS)
    return [drawing for drawing in drawn if drawing is not None]


def _draw(
    panel: Panel, experiment: Experiment, groups: Sequence[Group], styles: Sequence[Style]
) -> Drawing | None:
    split = experiment.split
    bands = [band(panel.series(arm, split) for arm in of.arms) for of in groups]
    if not any(found.steps for found in bands):
        return None
    words = split.replace("_", "-")
    title = panel.title.format(Split=words.capitalize(), split=words)
    names = [label(of, groups) for of in groups]
    figure, axes = canvas.blank(
        width=WIDTH,
        height=HEIGHT,
        labels=names,
        title=f"{title}, {panel.unit}" if panel.unit else title,
    )
    ends = []
    for of, style, name, found in zip(groups, styles, names, bands, strict=True):
        if found.steps:
            _draw_band(axes, found, style, seeds=len(of.arms), scale=panel.scale)
            ends.append(EndLabel(panel.scale * found.mean[-1], name, style.colour.light))
    if panel.name == "accuracy" and experiment.behaviour_accuracy is not None:
        axes.axhline(100 * experiment.behaviour_accuracy, color=BEHAVIOUR.light, linewidth=1.1)
    _scale_axes(axes, bands, panel)
    axes.set_xlabel("training step", color=MUTED.light)
    canvas.label_ends(axes, ends)
    return canvas.saved(figure, name=panel.name, title=title, caption=panel.caption)


def _draw_band(axes: "Axes", found: Band, style: Style, *, seeds: int, scale: float) -> None:
    colour = style.colour.light
    if seeds > 1:
        low = [scale * value for value in found.low]
        high = [scale * value for value in found.high]
        axes.fill_between(found.steps, low, high, color=colour, alpha=0.14, linewidth=0)
    line = (0, style.dashes) if style.dashes else "-"
    axes.plot(
        found.steps, [scale * value for value in found.mean], color=colour,
        linewidth=style.width, linestyle=line, marker="o" if len(found.steps) == 1 else None,
    )  # fmt: skip


def _scale_axes(axes: "Axes", bands: Sequence[Band], panel: Panel) -> None:
    """Fix the limits, so that labels can be placed; accuracies always run from 0 to 100."""
    last = max(step for found in bands for step in found.steps)
    axes.set_xlim(0, last or 1)
    if panel.unit == "%":
        axes.set_ylim(0, 102)
        return
    largest = max(abs(value) for found in bands for value in (*found.low, *found.high))
    if panel.may_be_logarithmic and largest > WIDE_RANGE:
        _make_logarithmic(axes, bands)
    axes.set_ylim(axes.get_ylim())


def _make_logarithmic(axes: "Axes", bands: Sequence[Band]) -> None:
    """Make the axis symmetric logarithmic, no longer than its values, with ticks as numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low = min(value for found in bands for value in found.low)
    high = max(value for found in bands for value in found.high)
    axes.set_yscale("symlog", linthresh=LINEAR_UP_TO)
    axes.set_ylim(1.3 * min(low, 0.0), 1.3 * max(high, 0.0))
    powers = range(len(f"{max(abs(low), abs(high)):.0f}"))
    marks = [0.0, *(sign * 10.0**power for power in powers for sign in (-1, 1))]
    axes.yaxis.set_major_locator(FixedLocator([mark for mark in marks if low <= mark <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: canvas.number(value)))
