"""Power against published values and against simulation."""

import numpy as np
import pytest

from asymreinforce.errors import InputError
from asymreinforce.report.statistics.intervals import (
    between_runs,
    p_of_interval,
    power,
    seeds_needed,
    smallest_difference,
)


@pytest.mark.parametrize(("effect", "needed"), [(0.5, 34), (0.8, 15), (0.2, 199)])
def test_seeds_needed_are_those_of_cohens_tables(effect: float, needed: int) -> None:
    """A paired t test, two-sided 5%, power 80% (G*Power gives the same)."""
    assert seeds_needed(difference=effect, deviation=1.0) == needed


def test_power_is_how_often_the_difference_is_found() -> None:
    values = np.random.default_rng(0).normal(0.05, 0.03, (4000, 5))
    found = np.mean([p_of_interval(between_runs(row, varied=())) < 0.05 for row in values])
    assert power(difference=0.05, deviation=0.03, seeds=5) == pytest.approx(found, abs=0.03)


def test_the_sign_of_a_difference_does_not_matter() -> None:
    assert power(difference=-0.05, deviation=0.03, seeds=5) == power(
        difference=0.05, deviation=0.03, seeds=5
    )


def test_at_no_difference_power_is_the_level_of_the_test() -> None:
    assert power(difference=0.0, deviation=1.0, seeds=7) == pytest.approx(0.05, abs=1e-9)


def test_the_smallest_difference_is_the_one_whose_seeds_are_needed() -> None:
    found = smallest_difference(deviation=0.02, seeds=7)
    assert power(difference=found, deviation=0.02, seeds=7) == pytest.approx(0.8, abs=1e-3)
    assert seeds_needed(difference=found, deviation=0.02) == 7


def test_a_difference_that_no_sweep_would_show_is_an_error() -> None:
    with pytest.raises(InputError, match="more than 10000 seeds"):
        seeds_needed(difference=1e-6, deviation=0.1)
