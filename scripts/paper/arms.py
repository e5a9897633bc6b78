"""Select the arms of a sweep for the paper's figures, with accuracy and entropy by step."""

import math
from collections.abc import Callable, Mapping, Sequence

from asymreinforce.algorithm.ending import PEAK_SHARE
from asymreinforce.report.groups import ArmGroup, mean
from asymreinforce.report.records import ReportedArm

ASYMRE, REFERENCE = "asymre", "group_mean"
"""The paper's objective for language models, for which baseline 0 is critical."""

BySteps = Mapping[int, float]
"""Step -> a value, in order of steps."""


def swept_groups(groups: Sequence[ArmGroup]) -> list[ArmGroup]:
    """Return the groups of the paper's sweep: AsymRE on the group mean, by rising baseline.

    If arms differ in more than baseline and seeds, the most frequent settings are taken.
    """
    own = [
        group
        for group in groups
        if group.algorithm == ASYMRE and group.baseline_reference == REFERENCE
    ]
    families = [group.others for group in own]
    usual = max(
        dict.fromkeys(families),
        key=lambda others: sum(len(group.arms) for group in own if group.others == others),
        default=(),
    )
    return sorted(
        (group for group in own if group.others == usual),
        key=lambda group: float(group.baseline or 0.0),
    )


def at_baseline(groups: Sequence[ArmGroup], baseline: float) -> ArmGroup | None:
    """Return the group of the sweep at a baseline; None if there is no such group."""
    return next((group for group in swept_groups(groups) if group.baseline == baseline), None)


def of_algorithm(groups: Sequence[ArmGroup], name: str) -> ArmGroup | None:
    """Return the first group of another objective; None if there is no such group."""
    return next((group for group in groups if group.algorithm == name), None)


def accuracy_by_step(arm: ReportedArm, split: str) -> BySteps:
    """Return the accuracy (0 to 1) of an arm on a split, by step."""
    return {c.step: c.accuracy for c in sorted(arm.checkpoints) if c.split == split}


def entropy_by_step(arm: ReportedArm, split: str) -> BySteps:
    """Return the entropy of an arm's completions on a split, in nats per completion, by step."""
    return {
        c.step: c.entropy
        for c in sorted(arm.checkpoints)
        if c.split == split and c.entropy is not None
    }


def average_series(group: ArmGroup, series: Callable[[ReportedArm], BySteps]) -> BySteps:
    """Average a series over the seeds of a group, at the steps that all of them have."""
    series_of_arms = [values for arm in group.arms if (values := series(arm))]
    if not series_of_arms:
        return {}
    common = sorted(set.intersection(*(set(values) for values in series_of_arms)))
    return {step: mean(values[step] for values in series_of_arms) for step in common}


def standard_error(group: ArmGroup, split: str, step: int) -> float:
    """Return the standard error over prompts of a group's mean accuracy at a step.

    Seeds count as independent. They share prompts and data, so that a difference between groups is
    more certain than this error suggests.
    """
    errors = [
        c.accuracy_se
        for arm in group.arms
        for c in arm.checkpoints
        if (c.split, c.step) == (split, step)
    ]
    return math.sqrt(sum(error**2 for error in errors)) / len(errors) if errors else 0.0


def step_of_fall(values: BySteps) -> int | None:
    """Return the first step after the peak with less than half of it; None if there is none."""
    if not values:
        return None
    peak = max(values, key=lambda step: values[step])
    return next((s for s in values if s > peak and values[s] < PEAK_SHARE * values[peak]), None)
