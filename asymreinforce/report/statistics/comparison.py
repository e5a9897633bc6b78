"""Compare arms with arms and with mu: paired over seeds, corrected for multiple comparisons.

The rule is fixed in advance: the accuracy of the **last** step on the reported split. The best step
is never used, since noise selects it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from asymreinforce.errors import InputError
from asymreinforce.report.groups import ArmGroup, group_label
from asymreinforce.report.records import ReportedArm
from asymreinforce.report.statistics.intervals import Interval, between_runs, crossed, p_of_interval

DATA_ORDER = "data order"
LATER_ROLLOUTS = "rollouts after the first refresh"
"""What a training seed decides beside the data order, if mu is refreshed."""


class Seeds(NamedTuple):
    """The seeds that two arms must share to be a pair, from the outermost to the innermost."""

    policy: int
    sampling: int
    training: int


class Comparison(NamedTuple):
    """A difference of final accuracies, a share of 1, with its interval and p-values."""

    arm: str
    against: str
    interval: Interval | None
    """None if there is a single pair, which says nothing about another pair."""
    difference: float
    pairs: int
    p: float | None
    p_holm: float | None
    """p corrected for all comparisons of the same table (Holm 1979)."""


class Replicates(NamedTuple):
    """Independent differences, one for each value of the outermost seed, and what varied."""

    values_N: np.ndarray
    varied: tuple[str, ...]


ByPrompt = Mapping[str, np.ndarray]
"""One number per evaluation prompt, by arm; NaN if the prompt was not judged."""

NOT_READ: ByPrompt = {}
NO_NOISE: Mapping[str, float] = {}


def between_groups(
    groups: Sequence[ArmGroup], *, against: ArmGroup, right: ByPrompt = NOT_READ
) -> list[Comparison]:
    """Compare every other group with `against`, over the seeds that both have.

    `right` holds each prompt's accuracy by arm, for intervals that hold for other prompts too.
    Raises `InputError` if a group shares no seed with `against`.
    """
    comparisons = []
    for group in groups:
        if group is against:
            continue
        shared = _seed_differences(group, against)
        names = group_label(group, groups), group_label(against, groups)
        if not shared:
            raise InputError(
                f"{' and '.join(names)} have no seed in common; train "
                "both with the same seed, policy.seed and sampling.seed"
            )
        prompts = _prompt_differences(group, against, right)
        later = _draws_later(group, against)
        comparisons.append(_compare_pairs(*names, shared, prompts=prompts, later=later))
    return _correct_together(comparisons)


def against_behaviour(
    groups: Sequence[ArmGroup],
    *,
    gains: ByPrompt = NOT_READ,
    noise: Mapping[str, float] = NO_NOISE,
) -> list[Comparison]:
    """Compare every group with the behaviour policy that its arms started from.

    `gains` holds the accuracy minus mu's on each prompt, by arm. `noise` holds the variance of mu's
    accuracy over draws of its evaluation, by arm. Arms that started from one policy share this
    error, so that the spread between arms does not show it.
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
            common = _shared_noise(group, noise)
            comparisons.append(
                _compare_pairs(name, "µ", values, prompts=prompts, later=later, common=common)
            )
    return _correct_together(comparisons)


def independent_replicates(values: Mapping[Seeds, float]) -> Replicates:
    """Average nested runs, so that the remaining values vary independently.

    Runs that start from one behaviour policy are alike. If policies vary, the mean over each
    policy's runs is one replicate; else, if rollouts vary, the mean over each set's runs; else each
    run is one replicate.
    """
    units = _independent_runs(values)
    means = [np.mean([values[seeds] for seeds in own]) for own in units]
    return Replicates(np.array(means), _varied_names(values))


def _independent_runs(values: Collection[Seeds]) -> list[list[Seeds]]:
    """Group the runs by the outermost seed that varies: policy, sampling, or training."""
    unit = next((name for name in Seeds._fields if _varies(values, name)), "training")
    members: dict[int, list[Seeds]] = defaultdict(list)
    for seeds in sorted(values):
        members[getattr(seeds, unit)].append(seeds)
    return list(members.values())


def _varied_names(values: Collection[Seeds]) -> tuple[str, ...]:
    policies, rollouts, orders = (_varies(values, name) for name in Seeds._fields)
    # another behaviour policy writes other rollouts
    names = {"behaviour policy": policies, "rollouts": policies or rollouts, DATA_ORDER: orders}
    return tuple(name for name, varies in names.items() if varies)


def _varies(values: Collection[Seeds], name: str) -> bool:
    return len({getattr(seeds, name) for seeds in values}) > 1


def holm_corrected(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's step-down method (Holm 1979).

    The i-th smallest of m p-values is multiplied by m - i + 1, and raised to the corrected value of
    any smaller p-value. Rejecting all with a corrected p of at most alpha rejects any true
    hypothesis with probability at most alpha.
    """
    corrected = np.zeros(len(p_values))
    rising = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    corrected[rising] = np.maximum.accumulate(np.array(p_values)[rising] * factors)
    return [float(p) for p in corrected.clip(max=1.0)]


def between_pairs(
    pairs: Sequence[tuple[ArmGroup, ArmGroup]], *, names: Sequence[str]
) -> list[Comparison | None]:
    """Compare the second group of each pair with the first, over the seeds that both have.

    An entry is None if the pair shares no seed. All p-values are corrected together.
    """
    shared = [_seed_differences(second, first) for first, second in pairs]
    comparisons = [
        _compare_pairs(name, name, values, prompts={}, later=_draws_later(*pair))
        for name, values, pair in zip(names, shared, pairs, strict=True)
        if values
    ]
    corrected = iter(_correct_together(comparisons))
    return [next(corrected) if values else None for values in shared]


def share_a_seed(one: ArmGroup, other: ArmGroup) -> bool:
    """Tell whether two groups can be compared: both have an evaluated arm of the same seeds."""
    return bool(_seed_differences(one, other))


def _seed_differences(group: ArmGroup, base: ArmGroup) -> dict[Seeds, float]:
    own, other = _accuracy_by_seeds(group), _accuracy_by_seeds(base)
    return {seeds: own[seeds] - other[seeds] for seeds in own.keys() & other.keys()}


def _accuracy_by_seeds(group: ArmGroup) -> dict[Seeds, float]:
    return {_seeds_of(arm): arm.outcome.accuracy for arm in group.arms if arm.outcome}


def _draws_later(*groups: ArmGroup) -> bool:
    """Tell whether arms drew further rollouts after round 0."""
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
    arm: str, against: str, values: Mapping[Seeds, float], *,
    prompts: Mapping[Seeds, np.ndarray], later: bool, common: float = 0.0,
) -> Comparison:  # fmt: skip
    values_N, varied = independent_replicates(values)
    if later and DATA_ORDER in varied:
        varied = (*varied, LATER_ROLLOUTS)
    difference, pairs = float(values_N.mean()), len(values_N)
    if pairs < 2:
        return Comparison(arm, against, None, difference, pairs, None, None)
    values_NP = _crossable_values(values, prompts)
    if values_NP is None:
        interval = between_runs(values_N, varied=varied, common_variance=common)
    else:
        interval = crossed(values_NP, varied=varied)
    return Comparison(arm, against, interval, difference, pairs, p_of_interval(interval), None)


def _shared_noise(group: ArmGroup, noise: Mapping[str, float]) -> float:
    """Return the variance of mu's accuracy if all arms of a group share mu, else 0."""
    values = [noise[arm.id] for arm in group.arms if arm.id in noise]
    # evaluations of several policies have independent errors, which the spread already shows
    is_shared = len({arm.policy_seed for arm in group.arms}) == 1
    return max(values, default=0.0) if is_shared else 0.0


def _crossable_values(
    values: Mapping[Seeds, float], prompts: Mapping[Seeds, np.ndarray]
) -> np.ndarray | None:
    """Return replicates by prompt   (N, P); None if runs and prompts cannot be crossed.

    Crossing needs every run's accuracy on the same prompts, and policies or rollouts that vary.
    """
    # an experiment that varies the policy or the rollouts asks about more than these runs, so its
    # interval covers other prompts too
    is_varied = len({(seeds.policy, seeds.sampling) for seeds in values}) > 1
    if not is_varied or not values.keys() <= prompts.keys():
        return None
    if len({len(prompts[seeds]) for seeds in values}) > 1:
        return None
    # nested runs are averaged first, as in `independent_replicates`
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
