"""Curves against training steps: a line a group, the band from its lowest to its highest seed."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce.report.coverage import pass_at_words
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing, EndLabel
from asymreinforce.report.figures.colours import BEHAVIOUR, MUTED, Style
from asymreinforce.report.groups import ArmGroup, Band, group_label, mean_band
from asymreinforce.report.records import Experiment, ReportedArm, Series, SeriesPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 4.9, 3.3
LINEAR_UP_TO = 1.0
WIDE_RANGE = 30.0
"""Beyond this magnitude a panel that allows it is drawn on a symmetric logarithmic axis."""

MOST_BANDS = 24
"""Of more groups the bands would cover each other, and only the means are drawn."""


class Panel(NamedTuple):
    """What a panel shows: `series(arm, split)` is empty where an arm has no such thing."""

    name: str
    title: str
    unit: str
    caption: str
    series: Callable[[ReportedArm, str], Series]
    scale: float = 1.0
    may_be_logarithmic: bool = False


def _accuracy_series(arm: ReportedArm, split: str) -> Series:
    return tuple(SeriesPoint(c.step, c.accuracy) for c in arm.checkpoints if c.split == split)


def _metric_reader(*names: str) -> Callable[[ReportedArm, str], Series]:
    """Return a reader of the first of these metrics that an arm has."""

    def series(arm: ReportedArm, split: str) -> Series:
        return next((arm.metrics[name] for name in names if name in arm.metrics), ())

    return series


def _sampled_entropy(arm: ReportedArm, split: str) -> Series:
    sampled = (c for c in arm.checkpoints if c.split == split and c.entropy is not None)
    return tuple(SeriesPoint(c.step, c.entropy) for c in sampled if c.entropy is not None)


def _several_reader(name: str) -> Callable[[ReportedArm, str], Series]:
    """Return a reader of what several samples of a prompt are needed for."""

    def series(arm: ReportedArm, split: str) -> Series:
        several = (c for c in arm.checkpoints if c.split == split and c.k > 1)
        return tuple(SeriesPoint(c.step, getattr(c, name)) for c in several)

    return series


PANELS = (
    Panel(
        "accuracy", "{Split} accuracy", "%",
        "Accuracy on prompts that training never saw; the horizontal line is the behaviour policy.",
        _accuracy_series, scale=100,
    ),
    Panel(
        "train-accuracy", "Train accuracy", "%",
        "The same on a part of the training prompts, freshly sampled.",
        lambda arm, split: _accuracy_series(arm, "train"), scale=100,
    ),
    Panel(
        "pass-at-k", "{Split} {pass_at}", "%",
        "Prompts of which at least one of k samples is correct.",
        _several_reader("pass_at_k"), scale=100,
    ),
    Panel(
        "distinct-answers", "Distinct answers, {split}", "",
        "Different answers among k samples of a prompt: 1 where all agree.",
        _several_reader("distinct_answers"),
    ),
    Panel(
        "entropy", "Entropy of {split} samples", "nats",
        "Entropy of the completions sampled in evaluation.", _sampled_entropy,
    ),
    Panel(
        "token-entropy", "Token entropy", "nats",
        "Mean entropy of the next token, along the fixed slice of rollouts.",
        _metric_reader("token_entropy"),
    ),
    Panel(
        "logp-correct", "Log-probability, correct", "nats",
        "Mean log π of the behaviour policy's correct completions.",
        _metric_reader("slice_logp_correct", "logp_correct"), may_be_logarithmic=True,
    ),
    Panel(
        "logp-incorrect", "Log-probability, incorrect", "nats",
        "Mean log π of the behaviour policy's incorrect completions.",
        _metric_reader("slice_logp_incorrect", "logp_incorrect"), may_be_logarithmic=True,
    ),
    Panel(
        "kl", "KL(µ ‖ π), in-sample", "nats",
        "Distance from the behaviour policy, estimated on a fixed set of rollouts. The arm trains "
        "on them too: below 0 it has learnt these rollouts themselves.",
        _metric_reader("kl"), may_be_logarithmic=True,
    ),
    Panel(
        "ess", "Effective sample size", "",
        "Of the self-normalised weights π/µ on the slice. It reads high when π leaves all samples "
        "evenly.", _metric_reader("ess"),
    ),
    Panel(
        "baseline", "Baseline in force", "",
        "Of arms whose baseline a schedule changes while they train.", _metric_reader("baseline"),
    ),
)  # fmt: skip


FEWEST_POINTS = 4
"""Of a suite's curve: mu, the best and the last checkpoint alone are a row of a table."""


def _suite_panels(experiment: Experiment) -> list[Panel]:
    """Return a panel for each suite on which some arm was evaluated at more than its ends."""
    drawn = {
        name: None
        for arm in experiment.arms
        for name, series in arm.suites.items()
        if len(series) >= FEWEST_POINTS
    }
    return [
        Panel(
            f"suite-{name}", f"Accuracy on {name}", "%",
            f"Accuracy on the suite {name}, beside what was trained on.",
            functools.partial(_suite_series, name), scale=100,
        )
        for name in drawn
    ]  # fmt: skip


def _suite_series(name: str, arm: ReportedArm, split: str) -> Series:
    return arm.suites.get(name, ())


class Curves(NamedTuple):
    """A panel with a band for each group, in their order; a group without the series has none."""

    panel: Panel
    title: str
    bands: tuple[Band, ...]


def read_curves(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Curves]:
    """Average each panel's series over seeds; panels for which no arm has one are left out."""
    curves = []
    split = experiment.split
    words = split.replace("_", "-")
    counts = (c.k for arm in experiment.arms for c in arm.checkpoints if c.split == split)
    pass_at = pass_at_words(counts)
    for panel in (*PANELS, *_suite_panels(experiment)):
        bands = tuple(mean_band(panel.series(arm, split) for arm in group.arms) for group in groups)
        if any(band.steps for band in bands):
            title = panel.title.format(Split=words.capitalize(), split=words, pass_at=pass_at)
            curves.append(Curves(panel, title, bands))
    return curves


def is_logarithmic(curves: Curves) -> bool:
    """Tell whether a panel is drawn on a symmetric logarithmic axis."""
    values = (v for band in curves.bands for v in (*band.low, *band.high))
    return curves.panel.may_be_logarithmic and max(map(abs, values)) > WIDE_RANGE


def draw_panel(
    curves: Curves, experiment: Experiment, groups: Sequence[ArmGroup], styles: Sequence[Style]
) -> Drawing:
    """Draw a panel."""
    panel = curves.panel
    names = [group_label(group, groups) for group in groups]
    title = f"{curves.title}, {panel.unit}" if panel.unit else curves.title
    figure, axes = canvas.blank_figure(width=WIDTH, height=HEIGHT, labels=names, title=title)
    ends = []
    with_bands = len(groups) <= MOST_BANDS
    for group, style, name, band in zip(groups, styles, names, curves.bands, strict=True):
        if band.steps:
            if with_bands or len(band.steps) == 1:
                has_band = with_bands and len(group.arms) > 1
                _draw_band(axes, band, style, has_band=has_band, scale=panel.scale)
            ends.append(EndLabel(panel.scale * band.mean[-1], name, style.colour.light))
    if not with_bands:
        _draw_lines(axes, list(zip(curves.bands, styles, strict=True)), scale=panel.scale)
    if panel.name == "accuracy" and experiment.behaviour_accuracy is not None:
        axes.axhline(100 * experiment.behaviour_accuracy, color=BEHAVIOUR.light, linewidth=1.1)
    _scale_axes(axes, curves)
    axes.set_xlabel("training step", color=MUTED.light)
    canvas.label_ends(axes, ends)
    return canvas.save_drawing(figure, name=panel.name, title=curves.title, caption=panel.caption)


def _draw_band(axes: "Axes", band: Band, style: Style, *, has_band: bool, scale: float) -> None:
    if has_band:
        low = [scale * value for value in band.low]
        high = [scale * value for value in band.high]
        axes.fill_between(band.steps, low, high, color=style.colour.light, alpha=0.14, linewidth=0)
    marker = "o" if len(band.steps) == 1 else None
    axes.plot(band.steps, [scale * value for value in band.mean], marker=marker, **style.line)


def _draw_lines(axes: "Axes", lines: Sequence[tuple[Band, Style]], *, scale: float) -> None:
    """Draw the means of many groups at once: matplotlib's cost is by the artist, not the point."""
    from matplotlib.collections import LineCollection

    drawn = [(band, style) for band, style in lines if len(band.steps) > 1]
    paths = [
        [(step, scale * value) for step, value in zip(band.steps, band.mean, strict=True)]
        for band, _ in drawn
    ]
    looks: dict[str, Any] = {
        f"{key}s": [style.line[key] for _, style in drawn]
        for key in ("color", "linewidth", "linestyle")
    }
    axes.add_collection(LineCollection(paths, **looks))
    axes.autoscale_view()


def _scale_axes(axes: "Axes", curves: Curves) -> None:
    """Fix the limits, so that labels can be placed; accuracies always run from 0 to 100."""
    bands = [band for band in curves.bands if band.steps]
    last = max(band.steps[-1] for band in bands)
    axes.set_xlim(0, last or 1)
    if curves.panel.unit == "%":
        axes.set_ylim(0, 102)
        return
    if is_logarithmic(curves):
        _make_logarithmic(axes, bands)
    axes.set_ylim(axes.get_ylim())


def _make_logarithmic(axes: "Axes", bands: Sequence[Band]) -> None:
    """Make the axis symmetric logarithmic, no longer than its values, with ticks as numbers."""
    low = min(value for band in bands for value in band.low)
    high = max(value for band in bands for value in band.high)
    axes.set_yscale("symlog", linthresh=LINEAR_UP_TO)
    axes.set_ylim(1.3 * min(low, 0.0), 1.3 * max(high, 0.0))
    powers = range(len(f"{max(abs(low), abs(high)):.0f}"))
    marks = [0.0, *(sign * 10.0**power for power in powers for sign in (-1, 1))]
    canvas.fix_ticks(axes.yaxis, [mark for mark in marks if low <= mark <= high])
