"""Draw curves against training steps: a line per group, a band from lowest to highest seed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce.report.coverage import pass_at_words
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing, EndLabel
from asymreinforce.report.figures.colours import BEHAVIOUR, Style
from asymreinforce.report.groups import ArmGroup, Band, group_label, mean_band
from asymreinforce.report.records import Experiment, ReportedArm, Series, SeriesPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 4.9, 3.3
LINEAR_UP_TO = 1.0
WIDE_RANGE = 30.0
"""A panel with larger values is drawn on a symmetric logarithmic axis, if the panel allows it."""

# the bands of more groups would cover each other
MOST_BANDS = 24
"""With more groups, only the means are drawn."""


class Panel(NamedTuple):
    """The content of a panel; `series(arm, split)` is empty if an arm has no such series."""

    name: str
    title: str
    unit: str
    caption: str
    series: Callable[[ReportedArm, str], Series]
    scale: float = 1.0
    may_be_logarithmic: bool = False


def _evaluated(
    name: str, *, split: str | None = None, fewest: int = 1
) -> Callable[[ReportedArm, str], Series]:
    """Return a function that reads a field of the checkpoints with at least `fewest` samples.

    The checkpoints are those of the reported split, or of `split`.
    """

    def series(arm: ReportedArm, reported: str) -> Series:
        points = (c for c in arm.evaluated(split or reported).values() if c.k >= fewest)
        values = ((c.step, getattr(c, name)) for c in points)
        return tuple(SeriesPoint(step, value) for step, value in values if value is not None)

    return series


def _metric_reader(*names: str) -> Callable[[ReportedArm, str], Series]:
    """Return a function that reads the first of these metrics that an arm has."""
    return lambda arm, _: next((arm.metrics[name] for name in names if name in arm.metrics), ())


def _suite_reader(name: str) -> Callable[[ReportedArm, str], Series]:
    return lambda arm, _: arm.suites.get(name, ())


PANELS = (
    Panel(
        "accuracy", "{Split} accuracy", "%",
        "Accuracy on prompts that training never saw; the horizontal line is the behaviour policy.",
        _evaluated("accuracy"), scale=100,
    ),
    Panel(
        "train-accuracy", "Train accuracy", "%",
        "Accuracy on a part of the training prompts, with new samples.",
        _evaluated("accuracy", split="train"), scale=100,
    ),
    Panel(
        "pass-at-k", "{Split} {pass_at}", "%",
        "Share of prompts with at least one correct answer among k samples.",
        _evaluated("pass_at_k", fewest=2), scale=100,
    ),
    Panel(
        "distinct-answers", "Distinct answers, {split}", "",
        "Number of different answers among k samples of a prompt: 1 if all samples agree.",
        _evaluated("distinct_answers", fewest=2),
    ),
    Panel(
        "entropy", "Entropy of {split} samples", "nats",
        "Entropy of the completions sampled in evaluation.", _evaluated("entropy"),
    ),
    Panel(
        "token-entropy", "Token entropy", "nats",
        "Mean entropy of the next token, over the fixed diagnostic set of rollouts.",
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
        "Distance from the behaviour policy, estimated on a fixed set of rollouts. The arm also "
        "trains on these rollouts: a value below 0 means that it has memorised them.",
        _metric_reader("kl"), may_be_logarithmic=True,
    ),
    Panel(
        "ess", "Effective sample size", "",
        "Of the self-normalised weights π/µ on the diagnostic set. It is also high if π lowers the "
        "probability of all samples evenly.", _metric_reader("ess"),
    ),
    Panel(
        "baseline", "Baseline in force", "",
        "The baseline of arms with a schedule that changes it during training.",
        _metric_reader("baseline"),
    ),
)  # fmt: skip


# mu, the best and the last checkpoint are already in the table of benchmarks
FEWEST_POINTS = 4
"""A suite gets a panel if some arm has at least this many points."""


def _suite_panels(experiment: Experiment) -> list[Panel]:
    """Return a panel for each suite on which some arm has at least `FEWEST_POINTS` points."""
    series = [item for arm in experiment.arms for item in arm.suites.items()]
    return [
        Panel(
            f"suite-{name}", f"Accuracy on {name}", "%",
            f"Accuracy on the suite {name}, another task than that of the training.",
            _suite_reader(name), scale=100,
        )
        for name in dict.fromkeys(name for name, points in series if len(points) >= FEWEST_POINTS)
    ]  # fmt: skip


class Curves(NamedTuple):
    """A panel with one band per group, in order; the band is empty if a group has no series."""

    panel: Panel
    title: str
    bands: tuple[Band, ...]


def read_curves(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Curves]:
    """Average each panel's series over seeds; a panel is left out if no arm has its series."""
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
    """Draw a panel as a figure for files."""
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
    axes.set_xlabel("training step")
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
    """Draw the means of many groups as one collection."""
    # matplotlib's cost grows with the number of artists, not of points
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
    """Fix the limits of the axes, so that labels can be placed; accuracies run from 0 to 100."""
    bands = [band for band in curves.bands if band.steps]
    last = max(band.steps[-1] for band in bands)
    axes.set_xlim(0, last or 1)
    if curves.panel.unit == "%":
        axes.set_ylim(0, 102)
        return
    if is_logarithmic(curves):
        _make_logarithmic(axes, bands)
    axes.set_ylim(axes.get_ylim())  # fixed: labels are placed by the limits


def _make_logarithmic(axes: "Axes", bands: Sequence[Band]) -> None:
    """Make the y axis symmetric logarithmic, with limits close to the values."""
    low = min(value for band in bands for value in band.low)
    high = max(value for band in bands for value in band.high)
    axes.set_yscale("symlog", linthresh=LINEAR_UP_TO)
    axes.set_ylim(1.3 * min(low, 0.0), 1.3 * max(high, 0.0))
    powers = range(len(f"{max(abs(low), abs(high)):.0f}"))
    marks = [0.0, *(sign * 10.0**power for power in powers for sign in (-1, 1))]
    canvas.fix_ticks(axes.yaxis, [mark for mark in marks if low <= mark <= high])
