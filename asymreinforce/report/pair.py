"""Two experiments side by side: what differs in their settings, and each group against its twin.

Arms are merged into one experiment in which `experiment` is one more setting, so that figures and
groups are made as ever. A group's twin has the same objective, reference, baseline and other
settings that differ within its experiment. Runs of equal seeds are pairs: where the two share what
the seeds draw, that takes the common luck out; where they do not, the interval is as right, and as
wide as of runs that are not paired.
"""

from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data.determines import EVALUATION, determines
from asymreinforce.errors import InputError
from asymreinforce.report.groups import Group, group, label, mean
from asymreinforce.report.records import Arm, Checkpoint, Experiment
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
    first: Group
    second: Group
    accuracies: tuple[float | None, float | None]
    comparison: Comparison | None
    """The second minus the first; None where they share no seed."""


class Pair(NamedTuple):
    """Two experiments, merged, with the groups that both have."""

    experiments: tuple[Experiment, Experiment]
    merged: Experiment
    groups: tuple[Group, ...]
    differences: tuple[Difference, ...]
    twins: tuple[Twin, ...]
    alone: tuple[tuple[str, ...], tuple[str, ...]]
    """Names of the groups that only one of them has."""
    same_prompts: bool
    """Whether they were evaluated in the same way on the same prompts, as far as files tell."""


def pair(first: Experiment, second: Experiment) -> Pair:
    """Put two experiments side by side; raises `InputError` where they are one directory."""
    if first.directory.resolve() == second.directory.resolve():
        raise InputError(f"{first.directory}: is compared with itself; name two experiments")
    if first.name == second.name:
        names = (str(first.directory), str(second.directory))
        first, second = first._replace(name=names[0]), second._replace(name=names[1])
    merged = _merged(first, second)
    ours, theirs = group(first), group(second)
    by_key = {_key(of): of for of in theirs}
    both = [(of, by_key[_key(of)]) for of in ours if _key(of) in by_key]
    matched = {_key(of) for of, _ in both}
    comparisons = between_pairs(both, names=[label(of, ours) for of, _ in both])
    twins = tuple(
        Twin(label(of, ours), of, other, (_mean(of), _mean(other)), comparison)
        for (of, other), comparison in zip(both, comparisons, strict=True)
    )
    alone = (
        tuple(label(of, ours) for of in ours if _key(of) not in matched),
        tuple(label(of, theirs) for of in theirs if _key(of) not in matched),
    )
    return Pair(
        (first, second), merged, group(merged), _differences(first, second), twins, alone,
        _evaluations(first) == _evaluations(second) != set(),
    )  # fmt: skip


def _merged(first: Experiment, second: Experiment) -> Experiment:
    """Return one experiment of all arms; evaluations are found from either directory."""
    arms = [_moved(arm, of) for of in (first, second) for arm in of.arms]
    shared = {k: v for k, v in first.shared.items() if second.shared.get(k, _ABSENT) == v}
    name = f"{first.name} and {second.name}"
    return Experiment(first.directory, name, tuple(arms), shared)


def _moved(arm: Arm, of: Experiment) -> Arm:
    return arm._replace(
        differing={**arm.differing, "experiment": of.name},
        checkpoints=tuple(_found(checkpoint, of.directory) for checkpoint in arm.checkpoints),
    )


def _found(checkpoint: Checkpoint, directory: Path) -> Checkpoint:
    return checkpoint._replace(evaluation=str(directory.resolve() / checkpoint.evaluation))


def _key(of: Group) -> tuple[Any, ...]:
    return of.algorithm, of.baseline_reference, of.baseline, of.others


def _mean(of: Group) -> float | None:
    return mean(of.accuracies) if of.accuracies else None


def _differences(first: Experiment, second: Experiment) -> tuple[Difference, ...]:
    keys = sorted({*first.shared, *second.shared})
    pairs = ((key, _value(first, key), _value(second, key)) for key in keys)
    return tuple(
        Difference(key, one, other)
        for key, one, other in pairs
        if one != other and determines(key, {**first.shared, **second.shared}) <= EVALUATION
    )


def _value(experiment: Experiment, key: str) -> Any:
    if key in experiment.shared:
        return experiment.shared[key]
    varies = any(key in arm.settings for arm in experiment.arms)
    return "differs between arms" if varies else _ABSENT


def _evaluations(experiment: Experiment) -> set[str]:
    """Name the ways of evaluating: a directory's name is a hash of prompts and settings."""
    split = experiment.split
    return {
        str(Path(checkpoint.evaluation).parent)
        for arm in experiment.arms
        for checkpoint in arm.checkpoints
        if checkpoint.split == split
    }
