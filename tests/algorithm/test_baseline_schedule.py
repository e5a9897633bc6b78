"""A baseline that changes by step or with staleness, by numbers."""

import pytest

from asymreinforce.algorithm.baseline_schedule import (
    linear_baseline,
    next_baseline,
    staleness_of,
)


def test_a_linear_baseline_starts_at_its_start_and_ends_behind_its_steps() -> None:
    values = [linear_baseline(t, start=0.0, end=-0.4, steps=4) for t in (1, 2, 3, 4, 5, 100)]
    assert values == pytest.approx([0, -0.1, -0.2, -0.3, -0.4, -0.4])


@pytest.mark.parametrize(
    ("baseline", "staleness", "expected"),
    [
        (-0.1, 0.5, -0.1),  # at the target it stays
        (-0.1, 1.5, -0.3),  # a nat beyond it, down by the gain
        (-0.1, 0.25, -0.05),  # nearer, up
        (-0.05, 0.0, 0.0),  # and never beyond 0
        (-0.4, 9.0, -0.5),  # nor below the lowest
    ],
)
def test_the_controller_lowers_the_baseline_beyond_its_target(
    baseline: float, staleness: float, expected: float
) -> None:
    found = next_baseline(baseline, staleness, target=0.5, gain=0.2, lowest=-0.5)
    assert found == pytest.approx(expected)


def test_a_controller_finds_the_baseline_at_which_staleness_is_its_target() -> None:
    """A policy whose staleness is 2 + 10 b, as lower baselines keep it nearer to mu."""
    baseline = 0.0
    for _ in range(60):
        baseline = next_baseline(baseline, 2 + 10 * baseline, target=0.5, gain=0.05, lowest=-0.5)
    assert baseline == pytest.approx(-0.15, abs=1e-6)


def test_the_log_of_the_mean_weight_falls_where_kl_rises() -> None:
    assert staleness_of("log_mean_weight", -1.5) == 1.5
    assert staleness_of("kl", 1.5) == 1.5
