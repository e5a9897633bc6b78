"""Group arms that differ only in their seeds, and average series over a group."""

import functools
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from asymreinforce.report.records import Experiment, ReportedArm, Series
from asymreinforce.untrusted import visible

SEEDS = frozenset({"seed", "policy.seed", "sampling.seed"})
NAMED_APART = frozenset({"baseline", "baseline_reference", "algorithm", "algorithm.name"})
# a figure is about 500 pixels wide
LONGEST_LINE = 300
"""Most points of a drawn line."""

WORDS_OF_NULL = {"refresh_every": "never", "optim.steps": "all", "train.lora.rank": "full"}
"""Labels for a setting that is `null`; the label of any other setting is "none"."""

# other settings have a meaning only together with the schedule
NAMES_OTHERS = "baseline_schedule"
"""A setting that stays in labels even if other settings imply it."""

Others = tuple[tuple[str, str], ...]
"""Further settings in which groups differ: pairs of dotted name and value as text."""

Family = tuple[str, str, Others]
"""Objective, baseline reference and further settings."""


class ArmGroup(NamedTuple):
    """Arms that differ only in seeds: one line of a figure.

    `baseline` is None if the algorithm has no baseline; `others` are further settings in which the
    groups of this experiment differ.
    """

    algorithm: str
    baseline_reference: str
    baseline: float | None
    others: Others
    arms: tuple[ReportedArm, ...] = ()

    @property
    def family(self) -> Family:
        """The settings without the baseline; groups that differ only in it have one family."""
        return (self.algorithm, self.baseline_reference, self.others)

    @property
    def without_arms(self) -> "ArmGroup":
        """The settings alone, by which arms are grouped and experiments are paired."""
        return self._replace(arms=())

    @property
    def lowest_seed(self) -> ReportedArm | None:
        """The evaluated arm with the lowest seeds; None if no arm was evaluated."""
        evaluated = (arm for arm in self.arms if arm.outcome)
        return min(
            evaluated, key=lambda arm: (arm.policy_seed, arm.sampling_seed, arm.seed), default=None
        )

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Final accuracy of each evaluated arm, a share of 1."""
        return tuple(arm.outcome.accuracy for arm in self.arms if arm.outcome)

    @property
    def accuracy(self) -> float | None:
        """The mean of `accuracies`; None if no arm was evaluated."""
        return mean(self.accuracies) if self.accuracies else None


class Band(NamedTuple):
    """The mean of a series over seeds, with the lowest and the highest value at each step."""

    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def group_arms(experiment: Experiment) -> tuple[ArmGroup, ...]:
    """Group the arms of an experiment by their settings without seeds.

    Groups come in order of rising baseline; algorithms without a baseline come last.
    """
    members: dict[ArmGroup, list[ReportedArm]] = defaultdict(list)
    for arm in experiment.arms:
        members[_empty_group(arm)].append(arm)
    return tuple(group._replace(arms=tuple(arms)) for group, arms in members.items())


def group_label(group: ArmGroup, among: Iterable[ArmGroup]) -> str:
    """Return the shortest label that tells a group from the others: "-0.1", "positives only"."""
    among = list(among)
    groups = [other for other in among if other.baseline is not None]
    parts = [] if group.baseline is None else [signed_text(group.baseline)]
    if group.baseline is None or len({other.algorithm for other in groups}) > 1:
        parts.insert(0, group.algorithm.replace("_", " "))
    if group.baseline is not None and len({other.baseline_reference for other in groups}) > 1:
        parts.append(group.baseline_reference.replace("_", " "))
    return ", ".join([*parts, *told_apart(group.others, (other.others for other in among))])


def told_apart(others: Others, among: Iterable[Others]) -> list[str]:
    """Write the settings that tell a group from the others: ["lr=0.001", "N=25"].

    A setting is left out if another setting implies it, for example if each refresh interval has
    its number of steps.
    """
    keys = _telling_keys(tuple(dict.fromkeys(among)))
    return [_setting_label(key, value) for key, value in others if key in keys]


def _setting_label(key: str, value: str) -> str:
    """Write a setting by the last part of its dotted name."""
    # N is the paper's symbol for the refresh interval of mu
    name = "N" if key == "refresh_every" else key.split(".")[-1]
    return f"{name}={WORDS_OF_NULL.get(key, 'none') if value == 'null' else value}"


@functools.lru_cache(maxsize=64)
def _telling_keys(among: tuple[Others, ...]) -> frozenset[str]:
    rows = [dict(others) for others in among]
    kept = sorted({key for row in rows for key in row})
    for key in list(kept):
        is_implied = any(_implies(other, key, rows) for other in kept if other != key)
        if is_implied and key != NAMES_OTHERS:
            kept.remove(key)
    return frozenset(kept)


def _implies(telling: str, implied: str, rows: list[dict[str, str]]) -> bool:
    pairs = {(row.get(telling), row.get(implied)) for row in rows}
    return len(pairs) == len({value for value, _ in pairs})


def signed_text(value: float, *, digits: int = 6) -> str:
    """Write a baseline with its sign and at most `digits` digits: "−0.1", "0", "+0.3"."""
    return f"{value:+.{digits}g}".replace("-", "−") if value else "0"


def best_group(groups: Iterable[ArmGroup]) -> ArmGroup | None:
    """Return the group with the highest mean final accuracy; None if no arm was evaluated."""
    evaluated = [group for group in groups if group.accuracies]
    return max(evaluated, key=lambda group: mean(group.accuracies), default=None)


def mean(values: Iterable[float]) -> float:
    """Return the arithmetic mean of at least one value."""
    numbers = list(values)
    return sum(numbers) / len(numbers)


def mean_band(series: Iterable[Series]) -> Band:
    """Average series over arms at each step, over the arms that have the step.

    A long series is thinned to every n-th step; the last step always stays.
    """
    values: dict[int, list[float]] = defaultdict(list)
    for point in itertools.chain.from_iterable(series):
        values[point.step].append(point.value)
    every = sorted(values)
    steps = tuple(every[every_nth(len(every), -(-len(every) // LONGEST_LINE) or 1)])
    return Band(
        steps=steps,
        mean=tuple(mean(values[step]) for step in steps),
        low=tuple(min(values[step]) for step in steps),
        high=tuple(max(values[step]) for step in steps),
    )


def every_nth(count: int, stride: int) -> slice:
    """Return the slice of every n-th of some values that keeps the last one."""
    # the last step is an arm's result
    return slice((count - 1) % stride, None, stride)


def _empty_group(arm: ReportedArm) -> ArmGroup:
    others = tuple(
        # settings come from files, and go into labels and shell commands
        (visible(key), _setting_text(value))
        for key, value in sorted(arm.differing.items())
        if key not in SEEDS | NAMED_APART
    )
    if not arm.uses_baseline:
        return ArmGroup(arm.algorithm, "", None, others)
    return ArmGroup(arm.algorithm, arm.baseline_reference, arm.baseline, others)


def _setting_text(value: Any) -> str:
    """Write a setting's value as the command line takes it: `null` and `true`, not `None`."""
    return visible(value if isinstance(value, str) else json.dumps(value, default=str))
