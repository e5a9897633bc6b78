"""Aggregate each setting's final accuracies as rliable does: median, IQM and P(X > Y)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asymreinforce.report.groups import ArmGroup
from asymreinforce.report.records import ReportedArm
from asymreinforce.report.results import GroupResults
from asymreinforce.report.statistics.aggregates import (
    Aggregates,
    Improvement,
    Stratum,
    aggregate_runs,
    probability_of_improvement,
)

SEED = 0  # a fixed seed, so that the same files give the same page

Policy = tuple[int, int]
"""The stratum of an arm: the seeds of its behaviour policy and of its rollouts."""


class Aggregated(NamedTuple):
    """The aggregates of one setting's runs; accuracies are shares of 1."""

    group: ArmGroup
    name: str
    accuracy: Aggregates
    over_behaviour: Improvement | None
    over_against: Improvement | None
    """None for the reference setting, and for a setting that shares no policy with it."""


def aggregate_groups(results: GroupResults) -> list[Aggregated]:
    """Aggregate every evaluated setting, in the order of the results."""
    base = next((row.group for row in results.rows if row.name == results.against), None)
    return [
        Aggregated(
            group=row.group,
            name=row.name,
            accuracy=aggregate_runs(np.array(row.group.accuracies)),
            over_behaviour=_improvement_over_behaviour(row.group),
            over_against=None
            if base is None or row.group is base
            else _improvement_over(row.group, base),
        )
        for row in results.rows
        if row.group.accuracies
    ]


def _improvement_over_behaviour(group: ArmGroup) -> Improvement | None:
    """Compare runs with the behaviour policies that they started from."""
    strata = [
        # arms of one stratum share mu and its evaluation, so that mu is one value
        Stratum(_final_accuracies(arms), np.array(behaviour[:1]))
        for arms in _arms_by_policy(group).values()
        if (behaviour := [a for arm in arms if (a := _behaviour_accuracy(arm)) is not None])
    ]
    return probability_of_improvement(strata, seed=SEED) if strata else None


def _improvement_over(group: ArmGroup, base: ArmGroup) -> Improvement | None:
    own, other = _arms_by_policy(group), _arms_by_policy(base)
    shared = [policy for policy in own if policy in other]
    strata = [Stratum(_final_accuracies(own[key]), _final_accuracies(other[key])) for key in shared]
    return probability_of_improvement(strata, seed=SEED) if strata else None


def _arms_by_policy(group: ArmGroup) -> dict[Policy, list[ReportedArm]]:
    arms: dict[Policy, list[ReportedArm]] = defaultdict(list)
    for arm in group.arms:
        if arm.outcome:
            arms[arm.policy_seed, arm.sampling_seed].append(arm)
    return arms


def _behaviour_accuracy(arm: ReportedArm) -> float | None:
    return arm.outcome.behaviour_accuracy if arm.outcome else None


def _final_accuracies(arms: Sequence[ReportedArm]) -> np.ndarray:
    return np.array([arm.outcome.accuracy for arm in arms if arm.outcome])
