"""Intervals hold what they are to hold, as often as they say: 2,000 simulated sweeps."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from asymreinforce.errors import InputError
from asymreinforce.report.statistics.intervals import (
    Interval,
    between_runs,
    bootstrap,
    crossed,
    draws_variance,
    of_a_share,
    p_of_interval,
)
from scripts.paper.simulated import World, simulate_sweeps

SWEEPS = 2000


def coverage(
    interval: Callable[[np.ndarray], Interval], values_W: np.ndarray, truth_W: np.ndarray
) -> float:
    """Share of the intervals, in %, that hold the truth; its standard error is 0.5 points."""
    held = [
        found.low <= truth <= found.high
        for found, truth in zip(map(interval, values_W), truth_W, strict=True)
    ]
    return 100 * float(np.mean(held))


def over_runs(values_N: np.ndarray) -> Interval:
    return between_runs(values_N, varied=("data order",))


def over_both(values_NP: np.ndarray) -> Interval:
    return crossed(values_NP, varied=("data order",))


@pytest.mark.parametrize("runs", [3, 5, 7])
@pytest.mark.parametrize("deviation", [0.0, 0.03])
def test_between_arms_95_percent_of_intervals_hold_the_effect(runs: int, deviation: float) -> None:
    """On these prompts by the t over runs; of all prompts by runs and prompts crossed."""
    found = simulate_sweeps(World(runs, between_runs=deviation), sweeps=SWEEPS, seed=0)
    of_these = coverage(over_runs, found.differences_WNP.mean(-1), found.on_these_prompts_W)
    truth_W = np.full(SWEEPS, found.on_all_prompts)
    of_all = coverage(over_both, found.differences_WNP, truth_W)
    assert 93 <= of_these <= 97
    assert 93 <= of_all <= 97


def test_an_interval_over_runs_alone_does_not_speak_of_other_prompts() -> None:
    """Why there are two: prompts on which arms differ by a lot are under each run alike."""
    world = World(7, between_runs=0.0, between_prompts=0.3)
    found = simulate_sweeps(world, sweeps=SWEEPS, seed=2)
    truth_W = np.full(SWEEPS, found.on_all_prompts)
    assert coverage(over_runs, found.differences_WNP.mean(-1), truth_W) < 90
    assert 93 <= coverage(over_both, found.differences_WNP, truth_W) <= 97


def test_where_runs_collapse_by_chance_no_interval_of_three_holds() -> None:
    found = simulate_sweeps(World(3, collapse=0.3), sweeps=SWEEPS, seed=3)
    held = coverage(over_runs, found.differences_WNP.mean(-1), found.on_these_prompts_W)
    assert held < 85


@pytest.mark.parametrize(("a", "b"), [(0.3, 3.0), (1.0, 1.5), (9.0, 0.5), (50.0, 0.5)])
def test_of_one_policy_95_percent_of_intervals_hold_the_accuracy(a: float, b: float) -> None:
    right_WP = share_of_right_answers(a, b)
    truth_W = np.full(SWEEPS, a / (a + b))
    held = coverage(lambda right_P: of_a_share(right_P, samples=2), right_WP, truth_W)
    assert 93 <= held <= 97


def test_of_a_handful_of_right_answers_the_interval_errs_on_the_safe_side() -> None:
    """An accuracy of 0.7%: of 800 answers five are right, and no interval can be exact."""
    right_WP = share_of_right_answers(0.02, 3.0)
    truth_W = np.full(SWEEPS, 0.02 / 3.02)
    held = coverage(lambda right_P: of_a_share(right_P, samples=2), right_WP, truth_W)
    assert 95 <= held <= 98.5


def test_a_bootstrap_over_prompts_holds_in_the_middle_and_fails_near_0() -> None:
    def resampled(values_P: np.ndarray) -> Interval:
        return bootstrap(values_P, seed=0, resamples=400)

    middle = coverage(resampled, share_of_right_answers(1.0, 1.5), np.full(SWEEPS, 0.4))
    rare = coverage(resampled, share_of_right_answers(0.02, 3.0), np.full(SWEEPS, 0.02 / 3.02))
    assert 93 <= middle <= 97
    assert rare < 90


def share_of_right_answers(a: float, b: float) -> np.ndarray:
    """Prompts of which two samples each were drawn, their chances being Beta(a, b)."""
    generator = np.random.default_rng(4)
    return generator.binomial(2, generator.beta(a, b, (SWEEPS, 400))) / 2


def test_the_t_interval_by_hand() -> None:
    """mean 2, s 1, N 3: 2 +- 4.3027 / sqrt(3)."""
    found = over_runs(np.array([1.0, 2.0, 3.0]))
    assert (found.estimate, found.replicates, found.df) == (2.0, 3, 2)
    assert found.high - 2 == pytest.approx(4.30265 / 3**0.5, rel=1e-5)
    assert 2 - found.low == pytest.approx(found.high - 2)
    assert found.varied == ("data order",)
    assert p_of_interval(over_runs(np.array([1.0, 2.0, 3.0]))) == pytest.approx(0.0741799, rel=1e-5)


def test_one_run_is_an_error_that_says_what_to_add() -> None:
    with pytest.raises(InputError, match="1 run has no interval between runs; add seeds"):
        over_runs(np.array([0.3]))


def test_without_any_spread_over_prompts_crossed_is_the_t_over_runs() -> None:
    values_NP = np.array([1.0, 2.0, 4.0])[:, None] + np.zeros((3, 50))
    alone, both = over_runs(values_NP.mean(1)), over_both(values_NP)
    assert (both.low, both.high) == pytest.approx((alone.low, alone.high))


def test_without_any_spread_over_runs_crossed_is_the_error_over_prompts() -> None:
    value_P = np.random.default_rng(0).normal(size=400)
    found = over_both(np.tile(value_P, (3, 1)))
    error = value_P.std(ddof=1) / 20
    assert found.df == pytest.approx(399)
    assert found.high - found.estimate == pytest.approx(1.9659 * error, rel=1e-3)


def test_all_wrong_is_not_sure_to_stay_so() -> None:
    """Wilson at 0 of 400 prompts: z^2 / (n + z^2) is left possible."""
    found = of_a_share(np.zeros(400), samples=2)
    assert found.low == pytest.approx(0, abs=1e-12)
    assert found.high == pytest.approx(3.8415 / 403.8415, rel=1e-4)


def test_a_bootstrap_is_a_function_of_its_seed() -> None:
    values_P = np.random.default_rng(0).random(50)
    assert bootstrap(values_P, seed=1) == bootstrap(values_P, seed=1)
    assert bootstrap(values_P, seed=1) != bootstrap(values_P, seed=2)


def test_equal_values_have_no_width_and_a_p_that_says_which_side() -> None:
    assert p_of_interval(over_runs(np.zeros(3))) == 1.0
    assert p_of_interval(over_runs(np.full(3, 0.5))) == 0.0


@pytest.mark.parametrize("runs", [3, 5, 7])
@pytest.mark.parametrize("deviation", [0.0, 0.03])
def test_against_one_evaluation_of_mu_the_intervals_hold_the_gain(
    runs: int, deviation: float
) -> None:
    """Mu is drawn once and subtracted from all runs, whose spread does not show its error."""
    world = World(runs, between_runs=deviation, one_mu=True)
    simulated = simulate_sweeps(world, sweeps=SWEEPS, seed=4)
    kept_P = np.full(world.prompts, world.samples)
    intervals = [
        between_runs(values_N, varied=(), common_variance=draws_variance(right_NP[0], kept_P))
        for values_N, right_NP in zip(
            simulated.differences_WNP.mean(-1), simulated.base_right_WNP, strict=True
        )
    ]
    held = [
        interval.low <= truth <= interval.high
        for interval, truth in zip(intervals, simulated.on_these_prompts_W, strict=True)
    ]
    assert 93 <= 100 * float(np.mean(held)) <= 97


def test_without_mu_s_draws_the_intervals_against_it_are_too_narrow() -> None:
    simulated = simulate_sweeps(World(7, between_runs=0.0, one_mu=True), sweeps=SWEEPS, seed=4)
    runs_WN = simulated.differences_WNP.mean(-1)
    assert coverage(over_runs, runs_WN, simulated.on_these_prompts_W) < 70


def test_a_common_variance_widens_by_hand() -> None:
    interval = between_runs(np.array([0.1, 0.2, 0.3]), varied=("seed",), common_variance=0.01)
    of_runs, margin = 0.01 / 3, 0.02 / 3
    df = 2 * (1 + 0.01 / margin) ** 2
    half = stats.t.ppf(0.975, df) * np.sqrt(of_runs + 0.01)
    assert interval[:3] == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert interval.df == pytest.approx(12.5)
    assert interval.varied == ("seed", "draws of µ's evaluation")


def test_the_variance_of_an_accuracy_over_draws_by_hand() -> None:
    """Of 1 of 2 right 1/4, of 3 of 4 right 3/16/3; a single sample has the whole's p (1 - p)."""
    several = draws_variance(np.array([1, 3, 2, 0]), np.array([2, 4, 2, 0]))
    assert several == pytest.approx((0.25 + 0.0625 + 0) / 9)
    single = draws_variance(np.array([1, 0, 0, 1]), np.array([1, 1, 1, 1]))
    assert single == pytest.approx(0.25 / 4)
