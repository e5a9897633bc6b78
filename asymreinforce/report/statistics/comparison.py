"""Arms against arms, and arms against mu: paired over seeds, corrected for how many were compared.

The rule is fixed before looking: the accuracy of the **last** step on the reported split, never of
the best one, which is chosen by the noise that it is to be judged against.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from asymreinforce.errors import InputError
from asymreinforce.report.groups import ArmGroup, group_label
from asymreinforce.report.records import ReportedArm
from asymreinforce.report.statistics.intervals import (
    LEVEL,
    Interval,
    between_runs,
    crossed,
    p_of_interval,
)

DATA_ORDER = "data order"
LATER_ROLLOUTS = "rollouts after the first refresh"
"""What a training seed decides as well, where mu is refreshed."""


class Seeds(NamedTuple):
    """What two arms have in common that are a pair."""

    policy: int
    sampling: int
    training: int


class Comparison(NamedTuple):
    """A difference of final accuracies, a share of 1, with what can be said of it."""

    arm: str
    against: str
    interval: Interval | None
    """None where a single pair leaves nothing to say about the next."""
    difference: float
    pairs: int
    p: float | None
    p_holm: float | None
    """Corrected for all comparisons that were made together (Holm 1979)."""


class Replicates(NamedTuple):
    """Independent differences, one an outermost seed that varied, and what varied between them."""

    values_N: np.ndarray
    varied: tuple[str, ...]


ByPrompt = Mapping[str, np.ndarray]
"""A number for each evaluation prompt, by arm; NaN where it was not judged."""

NOT_READ: ByPrompt = {}
NO_NOISE: Mapping[str, float] = {}


def between_groups(
    groups: Sequence[ArmGroup],
    *,
    against: ArmGroup,
    right: ByPrompt = NOT_READ,
    level: float = LEVEL,
) -> list[Comparison]:
    """Compare every other group with one, over the seeds that both have.

    `right` holds each prompt's accuracy by arm, for intervals that speak of other prompts too.
    Raises `InputError` where a group shares no seed with `against`.
    """
    comparisons = []
    for group in groups:
        if group is against:
            continue
        shared = _seed_differences(group, against)
        if not shared:
            raise InputError(
                f"{group_label(group, groups)} and {group_label(against, groups)} have no seed in "
                "common; train "
                "both with the same seed, policy.seed and sampling.seed"
            )
        prompts = _prompt_differences(group, against, right)
        names = group_label(group, groups), group_label(against, groups)
        later = _draws_later(group, against)
        comparisons.append(_compare_pairs(*names, shared, level, prompts=prompts, later=later))
    return _correct_together(comparisons)


def against_behaviour(
    groups: Sequence[ArmGroup],
    *,
    gains: ByPrompt = NOT_READ,
    noise: Mapping[str, float] = NO_NOISE,
    level: float = LEVEL,
) -> list[Comparison]:
    """Compare every group with the behaviour policy that its arms started from.

    `gains` holds what each prompt gained, by arm, and `noise` the variance of the accuracy of the
    policy that an arm started from, over draws of its evaluation. Arms that started from one policy
    share that error, so that the spread between them does not show it.
    """
    comparisons = []
    for group in groups:
        values = {
            _seeds_of(arm): arm.outcome.accuracy - arm.outcome.behaviour_accuracy
            for arm in group.arms
            if arm.outcome and arm.outcome.behaviour_accuracy is not None
        }
        prompts = {_seeds_of(arm): gains[arm.id] for arm in group.arms if arm.id in gains}
        if values:
            name, later = group_label(group, groups), _draws_later(group)
            comparisons.append(
                _compare_pairs(
                    name, "µ", values, level, prompts=prompts, later=later,
                    common=_shared_noise(group, noise),
                )
            )  # fmt: skip
    return _correct_together(comparisons)


def independent_replicates(values: Mapping[Seeds, float]) -> Replicates:
    """Average over what is nested, so that what is left varies independently.

    Runs that start from one behaviour policy are alike: where policies vary, the mean of each
    policy's runs is one replicate; else where rollouts vary, each set's; else each run's.
    """
    units = _independent_runs(values)
    means = [np.mean([values[seeds] for seeds in own]) for own in units]
    return Replicates(np.array(means), _varied_names(values))


def _independent_runs(values: Collection[Seeds]) -> list[list[Seeds]]:
    """Gather runs that share the outermost thing that varies."""
    policies = {seeds.policy for seeds in values}
    rollouts = {seeds.sampling for seeds in values}
    unit = "policy" if len(policies) > 1 else "sampling" if len(rollouts) > 1 else "training"
    members: dict[int, list[Seeds]] = defaultdict(list)
    for seeds in sorted(values):
        members[getattr(seeds, unit)].append(seeds)
    return list(members.values())


def _varied_names(values: Collection[Seeds]) -> tuple[str, ...]:
    policies = {seeds.policy for seeds in values}
    rollouts = {seeds.sampling for seeds in values}
    return (
        *(["behaviour policy"] if len(policies) > 1 else []),
        *(["rollouts"] if len(policies) > 1 or len(rollouts) > 1 else []),
        *([DATA_ORDER] if len({seeds.training for seeds in values}) > 1 else []),
    )


def holm_corrected(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, step by step down (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1, and is never below a smaller one's: rejecting
    those at most alpha rejects a true hypothesis with probability at most alpha.
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def between_pairs(
    pairs: Sequence[tuple[ArmGroup, ArmGroup]], *, names: Sequence[str], level: float = LEVEL
) -> list[Comparison | None]:
    """Compare the second of each pair with the first, over the seeds that both have.

    None where they share no seed. All are corrected together.
    """
    shared = [_seed_differences(second, first) for first, second in pairs]
    comparisons = [
        _compare_pairs(name, name, values, level, prompts={}, later=_draws_later(*pair))
        for name, values, pair in zip(names, shared, pairs, strict=True)
        if values
    ]
    corrected = iter(_correct_together(comparisons))
    return [next(corrected) if values else None for values in shared]


def share_a_seed(one: ArmGroup, other: ArmGroup) -> bool:
    """Tell whether two groups can be compared: each has an evaluated arm of the same seeds."""
    return bool(_seed_differences(one, other))


def _seed_differences(group: ArmGroup, base: ArmGroup) -> dict[Seeds, float]:
    own, other = _accuracy_by_seeds(group), _accuracy_by_seeds(base)
    return {seeds: own[seeds] - other[seeds] for seeds in own.keys() & other.keys()}


def _accuracy_by_seeds(group: ArmGroup) -> dict[Seeds, float]:
    return {_seeds_of(arm): arm.outcome.accuracy for arm in group.arms if arm.outcome}


def _draws_later(*groups: ArmGroup) -> bool:
    """Tell whether arms drew rollouts of their own after round 0."""
    return any(arm.settings.get("refresh_every") for group in groups for arm in group.arms)


def _seeds_of(arm: ReportedArm) -> Seeds:
    return Seeds(arm.policy_seed, arm.sampling_seed, arm.seed)


def _prompt_differences(
    group: ArmGroup, base: ArmGroup, right: ByPrompt
) -> dict[Seeds, np.ndarray]:
    own, other = ({_seeds_of(arm): right[arm.id] for arm in g.arms if arm.id in right}
                  for g in (group, base))  # fmt: skip
    return {
        seeds: own[seeds] - other[seeds]
        for seeds in own.keys() & other.keys()
        if len(own[seeds]) == len(other[seeds])
    }


def _compare_pairs(
    arm: str, against: str, values: Mapping[Seeds, float], level: float,
    *, prompts: Mapping[Seeds, np.ndarray], later: bool, common: float = 0.0,
) -> Comparison:  # fmt: skip
    values_N, varied = independent_replicates(values)
    if later and DATA_ORDER in varied:
        varied = (*varied, LATER_ROLLOUTS)
    difference, pairs = float(values_N.mean()), len(values_N)
    if pairs < 2:
        return Comparison(arm, against, None, difference, pairs, None, None)
    values_NP = _crossable_values(values, prompts)
    if values_NP is None:
        interval = between_runs(values_N, varied=varied, common_variance=common, level=level)
    else:
        interval = crossed(values_NP, varied=varied, level=level)
    return Comparison(arm, against, interval, difference, pairs, p_of_interval(interval), None)


def _shared_noise(group: ArmGroup, noise: Mapping[str, float]) -> float:
    """Return the variance of mu's accuracy if all arms of a group start from one policy, else 0."""
    values = [noise[arm.id] for arm in group.arms if arm.id in noise]
    is_shared = len({arm.policy_seed for arm in group.arms}) == 1
    return max(values, default=0.0) if is_shared else 0.0


def _crossable_values(
    values: Mapping[Seeds, float], prompts: Mapping[Seeds, np.ndarray]
) -> np.ndarray | None:
    """Return replicates by prompt   (N, P), where runs and prompts are to be crossed; else None.

    Whoever varied the policy or the rollouts asks for more than these runs, and is told of other
    prompts too. That takes every run's answers to the same prompts.
    """
    is_varied = len({(seeds.policy, seeds.sampling) for seeds in values}) > 1
    if not is_varied or not values.keys() <= prompts.keys():
        return None
    if len({len(prompts[seeds]) for seeds in values}) > 1:
        return None
    rows = [np.mean([prompts[seeds] for seeds in own], axis=0) for own in _independent_runs(values)]
    values_NP = np.stack(rows)
    judged_NP: np.ndarray = values_NP[:, ~np.isnan(values_NP).any(0)]
    return judged_NP if judged_NP.shape[1] > 1 else None


def _correct_together(comparisons: Sequence[Comparison]) -> list[Comparison]:
    tested = [item.p for item in comparisons if item.p is not None]
    corrected = iter(holm_corrected(tested))
    return [
        item if item.p is None else item._replace(p_holm=next(corrected)) for item in comparisons
    ]
