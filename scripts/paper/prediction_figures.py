"""Draw the share of worked answers that Theorem 4.2 predicts, beside the outcome.

Read from `ways.parquet` of an experiment directory (WAYS).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce.data import contracts
from asymreinforce.report.figures import canvas
from asymreinforce.report.figures.canvas import Drawing, EndLabel
from asymreinforce.report.figures.colours import BEHAVIOUR, CATEGORIES, MUTED
from scripts.paper.contracts import WAYS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


PREDICTED = CATEGORIES[0]


class WayOutcome(NamedTuple):
    """The prediction of an arm (None if the theorem leaves it open), and the outcome."""

    baseline: float
    seed: int
    policy_seed: int
    sampling_seed: int
    behaviour_worked: float
    predicted_worked: float | None
    worked: float
    behaviour_accuracy: float
    predicted_accuracy: float | None
    """The sum over ways of the predicted share times mu's accuracy in that way."""
    accuracy: float


def read_outcomes(path: Path) -> list[WayOutcome]:
    """Read `ways.parquet`: one outcome for each arm, by rising baseline."""
    members: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in contracts.read_table(path, WAYS).to_pylist():
        members[row["arm"]].append(row)
    return sorted(_make_outcome(rows) for rows in members.values())


def behaviour_worked(path: Path) -> dict[str, float]:
    """Read, for each arm, the share of worked answers of its behaviour policy."""
    rows = contracts.read_table(path, WAYS).to_pylist()
    return {row["arm"]: row["behaviour_share"] for row in rows if row["way"] == "worked"}


def draw_ways(outcomes: Sequence[WayOutcome]) -> list[Drawing]:
    """Draw the share of worked answers, and the accuracy, against the baseline."""
    import matplotlib

    with matplotlib.rc_context(canvas.RC):
        return [
            _draw_against_baseline(
                outcomes, name="ways-share", title="Share of worked answers, predicted and reached",
                predicted=lambda arm: arm.predicted_worked, reached=lambda arm: arm.worked,
                behaviour=lambda arm: arm.behaviour_worked,
            ),
            _draw_against_baseline(
                outcomes, name="ways-accuracy", title="Accuracy, predicted and reached",
                predicted=lambda arm: arm.predicted_accuracy, reached=lambda arm: arm.accuracy,
                behaviour=lambda arm: arm.behaviour_accuracy,
            ),
        ]  # fmt: skip


def _make_outcome(rows: Sequence[dict[str, Any]]) -> WayOutcome:
    first, worked = rows[0], next(row for row in rows if row["way"] == "worked")

    def accuracy(share: str, right: str) -> float | None:
        if any(row[share] is None for row in rows):
            return None
        return float(sum(row[share] * (row[right] or 0.0) for row in rows))

    return WayOutcome(
        baseline=first["baseline"],
        seed=first["seed"],
        policy_seed=first["policy_seed"],
        sampling_seed=first["sampling_seed"],
        behaviour_worked=worked["behaviour_share"],
        predicted_worked=worked["predicted_share"],
        worked=worked["share"],
        behaviour_accuracy=accuracy("behaviour_share", "behaviour_accuracy") or 0.0,
        predicted_accuracy=accuracy("predicted_share", "behaviour_accuracy"),
        accuracy=accuracy("share", "accuracy") or 0.0,
    )


def _draw_against_baseline(
    outcomes: Sequence[WayOutcome],
    *,
    name: str,
    title: str,
    predicted: Callable[[WayOutcome], float | None],
    reached: Callable[[WayOutcome], float],
    behaviour: Callable[[WayOutcome], float],
) -> Drawing:
    labels = ["Theorem 4.2", "µ"]
    figure, axes = canvas.blank_figure(width=5.2, height=3.6, labels=labels, title=f"{title}, %")
    baselines = sorted({arm.baseline for arm in outcomes})
    margin = 0.05 * max(baselines[-1] - baselines[0], 0.1)
    axes.set_xlim(baselines[0] - margin, baselines[-1] + margin)
    axes.set_ylim(-3, 104)
    axes.set_xlabel("baseline δV")
    axes.axvline(0, color=MUTED.light, linewidth=0.9, linestyle=(0, (3, 3)))
    ends = []
    for policy in sorted({(arm.policy_seed, arm.sampling_seed) for arm in outcomes}):
        own = [arm for arm in outcomes if (arm.policy_seed, arm.sampling_seed) == policy]
        line = {arm.baseline: value for arm in own if (value := predicted(arm)) is not None}
        level = 100 * behaviour(own[0])
        axes.axhline(level, color=BEHAVIOUR.light, linewidth=0.9)
        ends.append(EndLabel(level, "µ", BEHAVIOUR.light))
        if line:
            heights = [100 * line[baseline] for baseline in sorted(line)]
            axes.plot(sorted(line), heights, color=PREDICTED.light, linewidth=1.6)
            ends.append(EndLabel(heights[-1], "Theorem 4.2", PREDICTED.light))
        _draw_dots(axes, own, reached)
    canvas.label_ends(axes, _label_once(ends))
    caption = (
        "The line is what Theorem 4.2 predicts from the rollouts alone, each way of answering "
        "(worked, direct, other) being an arm whose accuracy stays as it was; each dot is the last "
        "checkpoint of one seed. No line where the theorem leaves open which arm is the limit."
    )
    return canvas.save_drawing(figure, name=name, title=title, caption=caption)


def _draw_dots(
    axes: "Axes", own: Sequence[WayOutcome], reached: Callable[[WayOutcome], float]
) -> None:
    axes.scatter(
        [arm.baseline for arm in own], [100 * reached(arm) for arm in own],
        s=22, color=MUTED.light, alpha=0.75, linewidths=0, zorder=3,
    )  # fmt: skip


def _label_once(ends: Sequence[EndLabel]) -> list[EndLabel]:
    """Keep the first label of each text, since lines of several policies share a label."""
    return list({end.text: end for end in reversed(ends)}.values())
