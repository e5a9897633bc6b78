"""Aggregates in the form of rliable, against loops over the runs."""

import itertools

import numpy as np
import pytest
from scipy import stats

from asymreinforce.errors import InputError
from asymreinforce.report.statistics.aggregates import (
    Stratum,
    aggregate_runs,
    probability_of_improvement,
)


def draws(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 12, count) / 12


def share_above(x_N: np.ndarray, y_K: np.ndarray) -> float:
    """P(X > Y) by a loop over pairs."""
    total = 0.0
    for x, y in itertools.product(x_N, y_K):
        total += 1.0 if x > y else 0.5 if x == y else 0.0
    return total / (len(x_N) * len(y_K))


def test_aggregates_of_eight_runs_by_hand() -> None:
    found = aggregate_runs(np.array([8.0, 1.0, 3.0, 2.0, 100.0, 4.0, 6.0, 5.0]))
    assert found.median == 4.5
    assert found.interquartile_mean == (3 + 4 + 5 + 6) / 4
    assert (found.low_quartile, found.high_quartile) == (2.75, 6.5)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 12])
def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end(count: int) -> None:
    values_N = draws(count, seed=count)
    assert aggregate_runs(values_N).interquartile_mean == pytest.approx(
        stats.trim_mean(values_N, proportiontocut=0.25)
    )


@pytest.mark.parametrize("sizes", [(3, 3), (5, 2), (1, 7), (1, 1)])
def test_the_probability_of_improvement_is_a_mean_over_pairs(sizes: tuple[int, int]) -> None:
    x_N, y_K = draws(sizes[0], seed=1), draws(sizes[1], seed=2)
    found = probability_of_improvement([Stratum(x_N, y_K)], seed=0, resamples=50)
    assert found.probability == pytest.approx(share_above(x_N, y_K))
    u = stats.mannwhitneyu(x_N, y_K).statistic
    assert found.probability == pytest.approx(u / (len(x_N) * len(y_K)))
    assert (found.interval is None) == (sizes == (1, 1))


def test_strata_weigh_the_same_whatever_their_size() -> None:
    strata = [
        Stratum(draws(6, seed=3), draws(2, seed=4)),
        Stratum(draws(2, seed=5), draws(3, seed=6)),
    ]
    found = probability_of_improvement(strata, seed=0)
    assert found.probability == pytest.approx(np.mean([share_above(*s) for s in strata]))


def test_the_interval_is_that_of_a_loop_over_resamples() -> None:
    x_N, y_K = draws(5, seed=7), draws(4, seed=8)
    found = probability_of_improvement([Stratum(x_N, y_K)], seed=0, resamples=4000)
    draw = np.random.default_rng(99)
    by_loop = [
        share_above(draw.choice(x_N, len(x_N)), draw.choice(y_K, len(y_K))) for _ in range(2000)
    ]
    assert found.interval
    expected = np.quantile(by_loop, [0.025, 0.975])
    assert (found.interval.low, found.interval.high) == pytest.approx(expected, abs=0.06)
    again = probability_of_improvement([Stratum(x_N, y_K)], seed=0, resamples=4000)
    assert again == found


def test_nothing_to_aggregate_is_refused() -> None:
    with pytest.raises(InputError):
        aggregate_runs(np.array([]))
    with pytest.raises(InputError):
        probability_of_improvement([Stratum(np.array([1.0]), np.array([]))], seed=0)
