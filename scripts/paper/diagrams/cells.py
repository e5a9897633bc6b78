"""Collect the cells of a phase diagram: all seeds of a baseline and one more setting.

An experiment directory may hold several sweeps, for instance over the learning rate and over the
group size. A diagram over one setting takes the arms whose other settings are those of most arms,
so that the arms with default settings belong to every diagram.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from asymreinforce.report.groups import NAMED_APART, SEEDS, mean
from asymreinforce.report.records import Experiment, ReportedArm

ALGORITHM = "asymre"
"""The objective whose baseline is swept; diagrams leave out other objectives."""


class Axis(NamedTuple):
    """A setting that is swept together with the baseline; `key` is its dotted name."""

    name: str
    key: str
    title: str
    words: str
    symbol: str
    label: Callable[[Any], str]
    command: str
    along: frozenset[str] = frozenset()
    """Settings that may change with the axis without removing an arm from the diagram."""
    is_of_behaviour: bool = False
    """Whether the setting changes the behaviour policy, whose accuracy is then shown too."""


class Cell(NamedTuple):
    """The arms of one baseline and one value of the axis, with one accuracy (0 to 1) per seed.

    `ending.py` defines a collapse.
    """

    baseline: float
    accuracies: tuple[float, ...]
    collapsed: int

    @property
    def accuracy(self) -> float:
        """Return the mean accuracy over seeds."""
        return mean(self.accuracies)


class Edge(NamedTuple):
    """The two baselines between which the safe region ends.

    `safe` is the largest baseline up to which no arm collapsed, None if an arm at the lowest did.
    `unsafe` is the lowest baseline at which an arm collapsed, None if no arm did.
    """

    safe: float | None
    unsafe: float | None


class Row(NamedTuple):
    """The cells of one value of the axis, by rising baseline."""

    label: str
    cells: tuple[Cell, ...]
    behaviour_accuracy: float | None
    behaviour_worked: float | None
    """Share of mu's answers that were worked; None if unknown."""
    steps: tuple[int, ...]
    """The distinct numbers of training steps of its arms."""

    @property
    def edge(self) -> Edge:
        """Return the end of the safe region in this row."""
        safe = None
        for cell in self.cells:
            if cell.collapsed:
                return Edge(safe, cell.baseline)
            safe = cell.baseline
        return Edge(safe, None)

    @property
    def seeds(self) -> tuple[int, int]:
        """Return the fewest and the most seeds of a cell."""
        counts = [len(cell.accuracies) for cell in self.cells]
        return min(counts), max(counts)


class Diagram(NamedTuple):
    """The rows of an axis, by rising value."""

    axis: Axis
    rows: tuple[Row, ...]
    experiment: Experiment
    """The experiment with only the arms of the diagram, and their shared settings."""

    @property
    def baselines(self) -> tuple[float, ...]:
        """Return all baselines of the cells, rising."""
        return tuple(sorted({cell.baseline for row in self.rows for cell in row.cells}))

    @property
    def arms(self) -> int:
        """Return the number of arms in the diagram."""
        return sum(len(cell.accuracies) for row in self.rows for cell in row.cells)


def gather_diagram(
    experiment: Experiment, axis: Axis, *, worked: Mapping[str, float] | None = None
) -> Diagram | None:
    """Return the diagram over an axis; None if its setting has fewer than two values.

    `worked` is the share of worked answers of the behaviour policy, by arm.
    """
    rows: dict[Any, list[ReportedArm]] = defaultdict(list)
    arms = [arm for arm in _usual_arms(experiment, axis) if axis.key in arm.settings]
    for arm in arms:
        rows[arm.settings[axis.key]].append(arm)
    if len(rows) < 2:
        return None
    return Diagram(
        axis=axis,
        rows=tuple(
            _make_row(axis.label(value), rows[value], worked or {})
            for value in sorted(rows, key=_axis_rank)
        ),
        experiment=experiment._replace(arms=tuple(arms), shared=_shared_settings(arms)),
    )


def _usual_arms(experiment: Experiment, axis: Axis) -> list[ReportedArm]:
    """Return evaluated arms with the most frequent settings, but for axis, baseline and seeds."""
    arms = [
        arm
        for arm in experiment.arms
        if arm.algorithm == ALGORITHM and arm.baseline is not None and arm.outcome
    ]
    free = {axis.key, "policy.source"} | axis.along | SEEDS | NAMED_APART
    for key in sorted({key for arm in arms for key in arm.differing} - free):
        values = Counter(repr(arm.settings.get(key)) for arm in arms)
        usual, _ = values.most_common(1)[0]
        arms = [arm for arm in arms if repr(arm.settings.get(key)) == usual]
    return arms


def _shared_settings(arms: Sequence[ReportedArm]) -> dict[str, Any]:
    """Return the settings that are the same in every arm."""
    first, *others = (arm.settings for arm in arms)
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def _make_row(label: str, arms: Sequence[ReportedArm], worked: Mapping[str, float]) -> Row:
    members: dict[float, list[ReportedArm]] = defaultdict(list)
    for arm in arms:
        members[float(arm.baseline or 0.0)].append(arm)
    cells = tuple(_make_cell(baseline, members[baseline]) for baseline in sorted(members))
    outcomes = [arm.outcome for arm in arms if arm.outcome]
    before = {
        (arm.policy_seed, arm.sampling_seed): arm.outcome.behaviour_accuracy
        for arm in arms
        if arm.outcome and arm.outcome.behaviour_accuracy is not None
    }
    known = [worked[arm.id] for arm in arms if arm.id in worked]
    return Row(
        label=label,
        cells=cells,
        behaviour_accuracy=mean(before.values()) if before else None,
        behaviour_worked=mean(known) if known else None,
        steps=tuple(sorted({outcome.step for outcome in outcomes})),
    )


def _make_cell(baseline: float, arms: Sequence[ReportedArm]) -> Cell:
    outcomes = [arm.outcome for arm in arms if arm.outcome]
    collapsed = sum(outcome.has_collapsed for outcome in outcomes)
    return Cell(baseline, tuple(outcome.accuracy for outcome in outcomes), collapsed)


def _axis_rank(value: Any) -> float:
    """Return the rank of a value on an axis; null, which means 'never', comes last."""
    return math.inf if value is None else float(value)
