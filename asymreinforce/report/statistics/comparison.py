"""Compare arms with arms and with mu: paired over seeds, corrected for multiple comparisons.

The rule is fixed in advance: the accuracy of the **last** step on the reported split. The best step
is never used, since noise selects it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asymreinforce.report.groups import ArmGroup
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

    difference: float
    pairs: int
    interval: Interval | None = None
    """None if there is a single pair, which says nothing about another pair."""
    p: float | None = None
    p_holm: float | None = None
    """p corrected for all comparisons of the same table (Holm 1979)."""


class Differences(NamedTuple):
    """The differences of one comparison, by the seeds of their arms."""

    values: Mapping[Seeds, float]
    prompts: Mapping[Seeds, np.ndarray]
    """The difference on each evaluation prompt, if it was read."""
    draws_later: bool
    """Whether arms drew further rollouts after round 0."""
    common_variance: float = 0.0


class Replicates(NamedTuple):
    """Independent differences, one for each value of the outermost seed, and what varied."""

    values_N: np.ndarray
    varied: tuple[str, ...]


ByPrompt = Mapping[str, np.ndarray]
"""One number per evaluation prompt, by arm; NaN if the prompt was not judged."""

NOT_READ: ByPrompt = {}
NO_NOISE: Mapping[str, float] = {}


def between_pairs(
    pairs: Sequence[tuple[ArmGroup, ArmGroup]], *, right: ByPrompt = NOT_READ
) -> list[Comparison | None]:
    """Compare the second group of each pair with the first, over the seeds that both have.

    `right` holds each prompt's accuracy by arm, for intervals that hold for other prompts too. An
    entry is None if the pair shares no seed.
    """
    return _compare_together(
        Differences(
            _seed_differences(second, first),
            _prompt_differences(second, first, right),
            _draws_later(first, second),
        )
        for first, second in pairs
    )


def against_behaviour(
    groups: Sequence[ArmGroup],
    *,
    gains: ByPrompt = NOT_READ,
    noise: Mapping[str, float] = NO_NOISE,
) -> list[Comparison | None]:
    """Compare every group with the behaviour policy that its arms started from.

    `gains` holds the accuracy minus mu's on each prompt, by arm. `noise` holds the variance of mu's
    accuracy over draws of its evaluation, by arm. Arms that started from one policy share this
    error, so that the spread between arms does not show it. An entry is None if no arm has both
    accuracies.
    """
    return _compare_together(
        Differences(
            {
                _seeds_of(arm): arm.outcome.difference
                for arm in group.arms
                if arm.outcome and arm.outcome.difference is not None
            },
            {_seeds_of(arm): gains[arm.id] for arm in group.arms if arm.id in gains},
            _draws_later(group),
            _shared_noise(group, noise),
        )
        for group in groups
    )


def _compare_together(items: Iterable[Differences]) -> list[Comparison | None]:
    """Compare each item that has values; all p-values are corrected together."""
    compared = [_compare(item) if item.values else None for item in items]
    tested = [item.p for item in compared if item and item.p is not None]
    corrected = iter(holm_corrected(tested))
    return [
        item._replace(p_holm=next(corrected)) if item and item.p is not None else item
        for item in compared
    ]


def independent_replicates(values: Mapping[Seeds, float]) -> Replicates:
    """Average nested runs, so that the remaining values vary independently.

    Runs that start from one behaviour policy are alike. If policies vary, the mean over each
    policy's runs is one replicate; else, if rollouts vary, the mean over each set's runs; else each
    run is one replicate.
    """
    return Replicates(_average_nested(values, values), _varied_names(values))


def _average_nested(values: Mapping[Seeds, Any], runs: Collection[Seeds]) -> np.ndarray:
    """Return the mean of the values of each group of `_independent_runs`."""
    units = _independent_runs(runs)
    return np.array([np.mean([values[seeds] for seeds in own], axis=0) for own in units])


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


def share_a_seed(one: ArmGroup, other: ArmGroup) -> bool:
    """Tell whether two groups can be compared: both have an evaluated arm of the same seeds."""
    return bool(_seed_differences(one, other))


def _seed_differences(group: ArmGroup, base: ArmGroup) -> dict[Seeds, float]:
    own, other = _accuracy_by_seeds(group), _accuracy_by_seeds(base)
    return {seeds: own[seeds] - other[seeds] for seeds in own.keys() & other.keys()}


def _accuracy_by_seeds(group: ArmGroup) -> dict[Seeds, float]:
    return {_seeds_of(arm): arm.outcome.accuracy for arm in group.arms if arm.outcome}


def _draws_later(*groups: ArmGroup) -> bool:
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


def _compare(item: Differences) -> Comparison:
    values_N, varied = independent_replicates(item.values)
    if item.draws_later and DATA_ORDER in varied:
        varied = (*varied, LATER_ROLLOUTS)
    difference, pairs = float(values_N.mean()), len(values_N)
    if pairs < 2:
        return Comparison(difference, pairs)
    values_NP = _crossable_values(item)
    if values_NP is None:
        interval = between_runs(values_N, varied=varied, common_variance=item.common_variance)
    else:
        interval = crossed(values_NP, varied=varied)
    return Comparison(difference, pairs, interval, p_of_interval(interval))


def _shared_noise(group: ArmGroup, noise: Mapping[str, float]) -> float:
    """Return the variance of mu's accuracy if all arms of a group share mu, else 0."""
    values = [noise[arm.id] for arm in group.arms if arm.id in noise]
    # evaluations of several policies have independent errors, which the spread already shows
    is_shared = len({arm.policy_seed for arm in group.arms}) == 1
    return max(values, default=0.0) if is_shared else 0.0


def _crossable_values(item: Differences) -> np.ndarray | None:
    """Return replicates by prompt   (N, P); None if runs and prompts cannot be crossed.

    Crossing needs every run's accuracy on the same prompts, and policies or rollouts that vary.
    """
    # an experiment that varies the policy or the rollouts asks about more than these runs, so its
    # interval covers other prompts too
    is_varied = _varies(item.values, "policy") or _varies(item.values, "sampling")
    if not is_varied or not item.values.keys() <= item.prompts.keys():
        return None
    if len({len(item.prompts[seeds]) for seeds in item.values}) > 1:
        return None
    values_NP = _average_nested(item.prompts, item.values)
    judged_NP: np.ndarray = values_NP[:, ~np.isnan(values_NP).any(0)]
    return judged_NP if judged_NP.shape[1] > 1 else None
