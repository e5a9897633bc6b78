"""Aggregates over runs in the form of rliable (Agarwal et al. 2021, arXiv 2108.13264).

The aggregates assume no distribution, and an outlier among the runs moves them little:

    median, quartiles     of the runs, by linear interpolation between two runs
    IQM                   mean of the runs without the lowest and the highest floor(N/4)
    P(X > Y)              1/(N K) sum_ij S(x_i, y_j),  S = 1 if x > y, 1/2 if x = y, else 0

P is the probability of improvement, U/(N K) with Mann and Whitney's U. If runs come in strata (a
behaviour policy and its rollouts, like a task of rliable), P is the mean over strata.

Intervals are percentiles over stratified bootstrap resamples: the runs of each stratum and side are
resampled. With three to five runs these intervals are too narrow; use the t intervals of
`intervals.py`.

Shapes: N runs of X, K runs of Y, R resamples.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asymreinforce.errors import InputError
from asymreinforce.report.groups import ArmGroup
from asymreinforce.report.records import ArmOutcome
from asymreinforce.report.results import GroupResults
from asymreinforce.report.statistics.intervals import ENDS, Interval

RESAMPLES = 2_000
SEED = 0  # a fixed seed, so that the same files give the same page


class Aggregates(NamedTuple):
    """Median, quartiles and interquartile mean of runs, in the unit of the runs."""

    median: float
    low_quartile: float
    high_quartile: float
    interquartile_mean: float


class Stratum(NamedTuple):
    """The runs X and Y that are compared with each other."""

    x_N: np.ndarray
    y_K: np.ndarray


class Improvement(NamedTuple):
    """The probability that a run of X ends above a run of Y."""

    probability: float
    interval: Interval | None
    """None if no stratum has two runs of X or of Y, since one run cannot be resampled."""


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
            row.group,
            row.name,
            aggregate_runs(np.array(row.group.accuracies)),
            _improvement_over_behaviour(row.group),
            _improvement_over(row.group, base) if base and row.group is not base else None,
        )
        for row in results.rows
        if row.group.accuracies
    ]


def _improvement_over_behaviour(group: ArmGroup) -> Improvement | None:
    """Compare runs with the behaviour policies that they started from."""
    strata = []
    for arms in _outcomes_by_policy(group).values():
        behaviour = [arm.behaviour_accuracy for arm in arms if arm.behaviour_accuracy is not None]
        if behaviour:
            # arms of one stratum share mu and its evaluation, so that mu is one value
            strata.append(Stratum(_accuracies(arms), np.array(behaviour[:1])))
    return probability_of_improvement(strata, seed=SEED) if strata else None


def _improvement_over(group: ArmGroup, base: ArmGroup) -> Improvement | None:
    own, other = _outcomes_by_policy(group), _outcomes_by_policy(base)
    strata = [
        Stratum(_accuracies(arms), _accuracies(other[policy]))
        for policy, arms in own.items()
        if policy in other
    ]
    return probability_of_improvement(strata, seed=SEED) if strata else None


def _outcomes_by_policy(group: ArmGroup) -> dict[tuple[int, int], list[ArmOutcome]]:
    """Return the evaluated arms of each stratum: of one seed of mu and one of its rollouts."""
    outcomes: dict[tuple[int, int], list[ArmOutcome]] = defaultdict(list)
    for arm in group.arms:
        if arm.outcome:
            outcomes[arm.policy_seed, arm.sampling_seed].append(arm.outcome)
    return outcomes


def _accuracies(outcomes: Sequence[ArmOutcome]) -> np.ndarray:
    return np.array([outcome.accuracy for outcome in outcomes])


def aggregate_runs(values_N: np.ndarray) -> Aggregates:
    """Return median, quartiles and interquartile mean of at least one run."""
    if not len(values_N):
        raise InputError("no run is evaluated: there is nothing to aggregate")
    low, median, high = np.quantile(values_N, [0.25, 0.5, 0.75])
    # with fewer than four runs nothing is cut, and the IQM is the mean
    cut = len(values_N) // 4
    middle = np.sort(values_N)[cut : len(values_N) - cut]
    return Aggregates(float(median), float(low), float(high), float(middle.mean()))


def probability_of_improvement(
    strata: Sequence[Stratum], *, seed: int, resamples: int = RESAMPLES
) -> Improvement:
    """Return P(X > Y) with its bootstrap interval; `seed` draws the resamples.

    Raises `InputError` if a stratum lacks a run of X or of Y.
    """
    if not strata or any(not len(values) for stratum in strata for values in stratum):
        raise InputError("a probability of improvement needs a run of both in every stratum")
    # strata weigh the same, as the tasks of rliable do
    estimate = float(np.mean([_share_above(s.x_N[None], s.y_K[None])[0] for s in strata]))
    # to resample one run is to get the same run, so there would be no spread
    if all(len(values) < 2 for stratum in strata for values in stratum):
        return Improvement(estimate, None)
    draw = np.random.default_rng(seed)
    drawn_R = np.mean(
        [
            _share_above(*(_resample_runs(v, draw, resamples) for v in stratum))
            for stratum in strata
        ],
        axis=0,
    )
    low, high = (float(end) for end in np.quantile(drawn_R, ENDS))
    runs = min(len(stratum.x_N) for stratum in strata)
    return Improvement(estimate, Interval(estimate, low, high, runs, math.inf, ("runs",)))


def _resample_runs(values_N: np.ndarray, draw: np.random.Generator, resamples: int) -> np.ndarray:
    """Draw N of the N runs with replacement, `resamples` times   (R, N)."""
    drawn_RN: np.ndarray = values_N[draw.integers(len(values_N), size=(resamples, len(values_N)))]
    return drawn_RN


def _share_above(x_RN: np.ndarray, y_RK: np.ndarray) -> np.ndarray:
    """Return the share of pairs in which x is above y; ties count half   (R)."""
    x_RN1, y_R1K = x_RN[:, :, None], y_RK[:, None, :]
    share_R: np.ndarray = ((x_RN1 > y_R1K) + 0.5 * (x_RN1 == y_R1K)).mean((1, 2))
    return share_R
