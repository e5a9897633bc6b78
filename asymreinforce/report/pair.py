"""Compare two experiments: the settings that differ, and each group with its twin.

Arms are merged into one experiment in which `experiment` is one more setting, so that the code for
figures and groups needs no second form. A group's twin has the same objective, reference, baseline
and other settings that differ within its experiment. Runs of equal seeds are pairs. If both
experiments share the seeds' draws (policy, rollouts, data order), pairing removes the common
noise; else the interval is still correct, and as wide as for unpaired runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data.determines import EVALUATION, first_product
from asymreinforce.errors import InputError
from asymreinforce.report.groups import ArmGroup, group_arms, group_label
from asymreinforce.report.records import Experiment, ReportedArm
from asymreinforce.report.statistics.comparison import Comparison, between_pairs

_ABSENT = "—"


class Difference(NamedTuple):
    """A setting with one value in the first experiment and another value in the second."""

    key: str
    first: Any
    second: Any


class Twin(NamedTuple):
    """The same group in both experiments; accuracies are shares of 1, None if not evaluated."""

    name: str
    first: ArmGroup
    second: ArmGroup
    accuracies: tuple[float | None, float | None]
    comparison: Comparison | None
    """The second minus the first; None if the groups share no seed."""


class ExperimentPair(NamedTuple):
    """Two experiments, the experiment merged from both, and the groups that both have."""

    experiments: tuple[Experiment, Experiment]
    merged: Experiment
    groups: tuple[ArmGroup, ...]
    differences: tuple[Difference, ...]
    twins: tuple[Twin, ...]
    alone: tuple[tuple[str, ...], tuple[str, ...]]
    """Names of the groups that only one of the two experiments has."""
    same_prompts: bool
    """Whether both were evaluated in the same way on the same prompts, by their directories."""


def pair_experiments(first: Experiment, second: Experiment) -> ExperimentPair:
    """Compare two experiments; raises `InputError` if both are the same directory."""
    if first.directory.resolve() == second.directory.resolve():
        raise InputError(
            f"{first.directory}: an experiment cannot be compared with itself; name two experiments"
        )
    # arms are told apart by the name of their experiment
    if first.name == second.name:
        names = (str(first.directory), str(second.directory))
        first, second = first._replace(name=names[0]), second._replace(name=names[1])
    merged = _merge_experiments(first, second)
    ours, theirs = group_arms(first), group_arms(second)
    by_settings = {group.without_arms: group for group in theirs}
    both = [(g, by_settings[g.without_arms]) for g in ours if g.without_arms in by_settings]
    twins = tuple(
        Twin(group_label(g, ours), g, o, (g.accuracy, o.accuracy), comparison)
        for (g, o), comparison in zip(both, between_pairs(both), strict=True)
    )
    alone = _names_without_twin(ours, theirs), _names_without_twin(theirs, ours)
    return ExperimentPair(
        (first, second), merged, group_arms(merged), _setting_differences(first, second),
        twins, alone,
        _evaluation_names(first) == _evaluation_names(second) != set(),
    )  # fmt: skip


def _merge_experiments(first: Experiment, second: Experiment) -> Experiment:
    """Return one experiment with the arms of both."""
    # paths of evaluations become absolute, since the merged experiment has only one directory
    arms = [_move_arm(arm, experiment) for experiment in (first, second) for arm in experiment.arms]
    shared = {k: v for k, v in first.shared.items() if second.shared.get(k, _ABSENT) == v}
    name = f"{first.name} and {second.name}"
    return Experiment(first.directory, name, tuple(arms), shared)


def _move_arm(arm: ReportedArm, experiment: Experiment) -> ReportedArm:
    place = experiment.directory.resolve()
    checkpoints = (c._replace(evaluation=str(place / c.evaluation)) for c in arm.checkpoints)
    differing = {**arm.differing, "experiment": experiment.name}
    return arm._replace(differing=differing, checkpoints=tuple(checkpoints))


def _names_without_twin(groups: Sequence[ArmGroup], others: Sequence[ArmGroup]) -> tuple[str, ...]:
    matched = {group.without_arms for group in others}
    return tuple(group_label(g, groups) for g in groups if g.without_arms not in matched)


def _setting_differences(first: Experiment, second: Experiment) -> tuple[Difference, ...]:
    keys = sorted({*first.shared, *second.shared})
    pairs = ((key, _shared_value(first, key), _shared_value(second, key)) for key in keys)
    return tuple(
        Difference(key, one, other)
        for key, one, other in pairs
        # a setting that matters only after evaluation changes no accuracy
        if one != other and first_product(key, {**first.shared, **second.shared}) <= EVALUATION
    )


def _shared_value(experiment: Experiment, key: str) -> Any:
    if key in experiment.shared:
        return experiment.shared[key]
    varies = any(key in arm.settings for arm in experiment.arms)
    return "differs between arms" if varies else _ABSENT


def _evaluation_names(experiment: Experiment) -> set[str]:
    """Return the names of the evaluation directories."""
    # such a name is a hash of prompts and settings, so that equal names mean equal evaluations
    return {
        str(Path(checkpoint.evaluation).parent)
        for arm in experiment.arms
        for checkpoint in arm.evaluated(experiment.split).values()
    }
