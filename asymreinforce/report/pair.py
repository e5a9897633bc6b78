"""Two experiments side by side: what differs in their settings, and each group against its twin.

Arms are merged into one experiment in which `experiment` is one more setting, so that figures and
groups are made as ever. A group's twin has the same objective, reference, baseline and other
settings that differ within its experiment. Runs of equal seeds are pairs: where the two share what
the seeds draw, that takes the common luck out; where they do not, the interval is as right, and as
wide as of runs that are not paired.
"""

from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data.determines import EVALUATION, first_product
from asymreinforce.errors import InputError
from asymreinforce.report.groups import ArmGroup, group_arms, group_label, mean
from asymreinforce.report.records import Checkpoint, Experiment, ReportedArm
from asymreinforce.report.statistics.comparison import Comparison, between_pairs

_ABSENT = "—"


class Difference(NamedTuple):
    """A setting that is one thing in all arms of the first, and another in those of the second."""

    key: str
    first: Any
    second: Any


class Twin(NamedTuple):
    """The same group in both experiments; accuracies are shares of 1, None where not evaluated."""

    name: str
    first: ArmGroup
    second: ArmGroup
    accuracies: tuple[float | None, float | None]
    comparison: Comparison | None
    """The second minus the first; None where they share no seed."""


class ExperimentPair(NamedTuple):
    """Two experiments, merged, with the groups that both have."""

    experiments: tuple[Experiment, Experiment]
    merged: Experiment
    groups: tuple[ArmGroup, ...]
    differences: tuple[Difference, ...]
    twins: tuple[Twin, ...]
    alone: tuple[tuple[str, ...], tuple[str, ...]]
    """Names of the groups that only one of them has."""
    same_prompts: bool
    """Whether they were evaluated in the same way on the same prompts, as far as files tell."""


def pair_experiments(first: Experiment, second: Experiment) -> ExperimentPair:
    """Put two experiments side by side; raises `InputError` where they are one directory."""
    if first.directory.resolve() == second.directory.resolve():
        raise InputError(f"{first.directory}: is compared with itself; name two experiments")
    if first.name == second.name:
        names = (str(first.directory), str(second.directory))
        first, second = first._replace(name=names[0]), second._replace(name=names[1])
    merged = _merge_experiments(first, second)
    ours, theirs = group_arms(first), group_arms(second)
    by_key = {_group_key(group): group for group in theirs}
    both = [(group, by_key[_group_key(group)]) for group in ours if _group_key(group) in by_key]
    matched = {_group_key(group) for group, _ in both}
    comparisons = between_pairs(both, names=[group_label(group, ours) for group, _ in both])
    twins = tuple(
        Twin(
            group_label(group, ours),
            group,
            other,
            (_mean_accuracy(group), _mean_accuracy(other)),
            comparison,
        )
        for (group, other), comparison in zip(both, comparisons, strict=True)
    )
    alone = (
        tuple(group_label(group, ours) for group in ours if _group_key(group) not in matched),
        tuple(group_label(group, theirs) for group in theirs if _group_key(group) not in matched),
    )
    return ExperimentPair(
        (first, second), merged, group_arms(merged), _setting_differences(first, second),
        twins, alone,
        _evaluation_names(first) == _evaluation_names(second) != set(),
    )  # fmt: skip


def _merge_experiments(first: Experiment, second: Experiment) -> Experiment:
    """Return one experiment of all arms; evaluations are found from either directory."""
    arms = [_move_arm(arm, experiment) for experiment in (first, second) for arm in experiment.arms]
    shared = {k: v for k, v in first.shared.items() if second.shared.get(k, _ABSENT) == v}
    name = f"{first.name} and {second.name}"
    return Experiment(first.directory, name, tuple(arms), shared)


def _move_arm(arm: ReportedArm, experiment: Experiment) -> ReportedArm:
    return arm._replace(
        differing={**arm.differing, "experiment": experiment.name},
        checkpoints=tuple(
            _with_absolute_path(checkpoint, experiment.directory) for checkpoint in arm.checkpoints
        ),
    )


def _with_absolute_path(checkpoint: Checkpoint, directory: Path) -> Checkpoint:
    return checkpoint._replace(evaluation=str(directory.resolve() / checkpoint.evaluation))


def _group_key(group: ArmGroup) -> tuple[Any, ...]:
    return group.algorithm, group.baseline_reference, group.baseline, group.others


def _mean_accuracy(group: ArmGroup) -> float | None:
    return mean(group.accuracies) if group.accuracies else None


def _setting_differences(first: Experiment, second: Experiment) -> tuple[Difference, ...]:
    keys = sorted({*first.shared, *second.shared})
    pairs = ((key, _shared_value(first, key), _shared_value(second, key)) for key in keys)
    return tuple(
        Difference(key, one, other)
        for key, one, other in pairs
        if one != other and first_product(key, {**first.shared, **second.shared}) <= EVALUATION
    )


def _shared_value(experiment: Experiment, key: str) -> Any:
    if key in experiment.shared:
        return experiment.shared[key]
    varies = any(key in arm.settings for arm in experiment.arms)
    return "differs between arms" if varies else _ABSENT


def _evaluation_names(experiment: Experiment) -> set[str]:
    """Name the ways of evaluating: a directory's name is a hash of prompts and settings."""
    split = experiment.split
    return {
        str(Path(checkpoint.evaluation).parent)
        for arm in experiment.arms
        for checkpoint in arm.checkpoints
        if checkpoint.split == split
    }
