"""The rule of a collapse, case by case."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymreinforce.algorithm.collapse import Rule, State, collapse_state, observe

RULE = Rule(validation_prompts=100)
Row = dict[str, float | None]


def validation(step: int, accuracy: float) -> Row:
    return {"step": step, "validation_accuracy": accuracy}


def diagnosis(step: int, weight: float, logp: float) -> Row:
    return {"step": step, "log_mean_weight": weight, "slice_logp_correct": logp}


def test_accuracy_and_mass_lost_together_are_a_collapse_at_once() -> None:
    rows = [
        validation(0, 0.4) | diagnosis(0, 0.0, -1.7),
        validation(30, 0.8) | diagnosis(30, 0.0, -1.5),
        diagnosis(50, -2.0, -6.0),
        validation(60, 0.1),
        validation(90, 0.0),
    ]
    found = collapse_state(rows, RULE)
    assert found.step == 60
    assert found.reason and "left the rollouts" in found.reason
    assert found.evidence == {
        "validation_accuracy": 0.1,
        "log_mean_weight": -2.0,
        "slice_logp_correct": -6.0,
    }


def test_accuracy_alone_must_fail_twice_in_a_row() -> None:
    rows = [validation(0, 0.4), validation(30, 0.9), validation(60, 0.2), validation(90, 0.8)]
    assert collapse_state(rows, RULE).step is None
    assert collapse_state([*rows, validation(120, 0.2), validation(150, 0.1)], RULE).step == 150


def test_half_of_the_peak_is_not_yet_failing() -> None:
    rows = [validation(0, 0.4), validation(30, 0.9), validation(60, 0.45), validation(90, 0.45)]
    assert collapse_state(rows, RULE).step is None


def test_a_fall_within_three_standard_errors_is_noise() -> None:
    """0.04 -> 0.01 of 100 answers: 3 points, of which one standard error is 2.2."""
    rows = [validation(0, 0.04), validation(30, 0.01), validation(60, 0.01)]
    assert 3 * math.sqrt((0.04 * 0.96 + 0.01 * 0.99) / 100) > 0.03
    assert collapse_state(rows, RULE).step is None
    assert collapse_state(rows, RULE._replace(validation_prompts=10_000)).step == 60


def test_a_large_kl_with_the_successes_kept_is_no_collapse() -> None:
    """A stable run leaves mu's failures behind: KL 14 nats, log mean weight near 0."""
    rows = [diagnosis(step, -0.3, -1.7 - step / 30) | {"kl": step / 10} for step in range(301)]
    assert collapse_state(rows, RULE).step is None


def test_without_validation_the_mass_must_be_far_away_three_times_in_a_row() -> None:
    rows = [diagnosis(0, 0.0, -1.7), *(diagnosis(s, -2.5, -7.0) for s in (10, 20))]
    assert collapse_state(rows, RULE).step is None
    found = collapse_state([*rows, diagnosis(30, -2.5, -7.0)], RULE)
    assert found.step == 30
    interrupted = [*rows, diagnosis(30, -0.5, -7.0), diagnosis(40, -2.5, -7.0)]
    assert collapse_state(interrupted, RULE).step is None


def test_departure_never_ends_a_run_that_was_healthy_since() -> None:
    """Validation every third diagnostics; the policy is far away from step 10 on."""
    rows = [
        diagnosis(step, -9.0, -20.0 * (step > 0))
        | (validation(step, 0.4) if step % 30 == 0 else {})
        for step in range(0, 100, 10)
    ]
    assert collapse_state(rows, RULE).step is None


def test_departure_ends_a_run_that_falls_between_two_accuracies() -> None:
    """So seldom validated, accuracy shows neither the peak nor the fall: 0.4 and then 0.25."""
    rows = [
        validation(0, 0.4) | diagnosis(0, 0.0, -1.7),
        *(diagnosis(step, -2.5, -7.0) for step in range(40, 100, 10)),
        validation(100, 0.25),
    ]
    assert collapse_state(rows, RULE).step == 60
    healthy = [*rows[:3], validation(55, 0.4), *rows[3:]]
    assert collapse_state(healthy, RULE).step is None
    came_back = [*healthy, diagnosis(110, 0.0, -1.7)]
    again = [diagnosis(step, -2.5, -7.0) for step in (120, 130, 140)]
    assert collapse_state([*came_back, *again], RULE).step == 140


def test_a_collapse_stays_at_its_step() -> None:
    rows = [validation(0, 0.9), validation(30, 0.1), validation(60, 0.1), validation(90, 0.95)]
    assert collapse_state(rows, RULE).step == 60


def test_plain_rows_change_nothing() -> None:
    state = collapse_state([validation(0, 0.4), diagnosis(10, 0.0, -1.0)], RULE)
    assert observe(state, {"step": 11, "loss": 3.0, "validation_accuracy": None}, RULE) == state


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-9, 1), st.floats(-20, 0)), max_size=12))
def test_a_fold_over_all_rows_is_a_fold_over_its_parts(
    values: list[tuple[float, float, float]],
) -> None:
    """So a resumed run, which folds what is on disk first, sees the same collapse."""
    rows = [
        validation(step, accuracy) | diagnosis(step, weight, logp)
        for step, (accuracy, weight, logp) in enumerate(values)
    ]
    state = State()
    for row in rows:
        state = observe(state, row, RULE)
    assert state == collapse_state(rows, RULE)


@pytest.mark.parametrize("accuracies", [(0.4, 0.6, 0.8, 0.9), (0.4, 0.4, 0.4), (0.9, 0.7, 0.5)])
def test_runs_that_rise_stay_or_sag_do_not_collapse(accuracies: tuple[float, ...]) -> None:
    rows = [validation(30 * i, accuracy) for i, accuracy in enumerate(accuracies)]
    assert collapse_state(rows, RULE).step is None


def test_a_refresh_starts_the_measure_of_departure_anew() -> None:
    """After it the rollouts come from the policy itself, and its successes are others."""
    far = {"log_mean_weight": -9.0, "slice_logp_correct": -20.0}
    start = {"step": 0, "staleness": 0, "log_mean_weight": 0.0, "slice_logp_correct": -1.0}
    before = [start, *({"step": step, "staleness": step, **far} for step in (10, 20))]
    refreshed = {"step": 20, "staleness": 0, "log_mean_weight": 0.0, "slice_logp_correct": -20.0}
    after = {"step": 30, "staleness": 10, **far}
    rule = Rule(validation_prompts=100)
    assert collapse_state([*before, after], rule).step == 30
    assert collapse_state([*before, refreshed, after], rule).step is None


def drawn(step: int, accuracy: float) -> Row:
    """The first step of a round, on 128 rollouts of the policy that the round starts from."""
    return {"step": step, "staleness": 1, "sequences": 128, "reward": 2 * accuracy - 1}


def test_a_rounds_rollouts_show_a_collapse_where_nothing_is_validated() -> None:
    """38% of mu's, 20% after a round, 2% after the next: below half of 38, twice at the end."""
    rows = [drawn(1, 0.38), drawn(26, 0.20), drawn(51, 0.02)]
    assert collapse_state(rows, RULE).step is None
    found = collapse_state([*rows, drawn(76, 0.0)], RULE)
    assert (
        found.step == 76 and found.reason == "accuracy was below half of its peak 2 times in a row"
    )


def test_with_replay_an_accuracy_is_of_as_many_answers_as_the_round_itself_drew() -> None:
    """38 and 5% of 128 answers lie further apart than noise; of 8 answers they do not."""
    rows = [drawn(1, 0.38), drawn(26, 0.05)]
    assert collapse_state(rows, RULE).failing == 1
    few = [row | {"fresh_sequences": 8} for row in rows]
    assert collapse_state(few, RULE).failing == 0


def test_rollouts_of_a_policy_that_had_left_the_round_before_are_a_collapse_at_once() -> None:
    far = {"log_mean_weight": -2.0, "slice_logp_correct": -6.0}
    start = {"step": 0, "staleness": 0, "log_mean_weight": 0.0, "slice_logp_correct": -1.0}
    refreshed = {"step": 100, "staleness": 0, "log_mean_weight": 0.0, "slice_logp_correct": -9.0}
    rows: list[Any] = [start, drawn(1, 0.38), {"step": 100, "staleness": 100, **far}, refreshed]
    assert collapse_state([*rows, drawn(101, 0.05)], RULE).step == 101
    assert collapse_state([*rows, drawn(101, 0.9)], RULE) == collapse_state(rows, RULE)._replace(
        peak=0.9, departed_before=False
    )


def test_rewards_become_accuracies_by_their_scale() -> None:
    """Rewards of 0 and 5: a mean of 4 is 80%, one of 1 is 20%."""
    rule = RULE._replace(incorrect=0.0, correct=5.0)
    rows = [{**drawn(step, 0), "reward": reward} for step, reward in ((1, 2), (26, 4), (51, 1))]
    assert collapse_state(rows, rule).peak == pytest.approx(0.8)
    assert collapse_state(rows, rule).failing == 1


def test_the_first_step_of_a_run_that_never_refreshes_validates_nothing() -> None:
    """So that the rule without accuracy still holds for it."""
    far = [diagnosis(0, 0.0, -1.7), drawn(1, 0.4), *(diagnosis(s, -2.5, -7.0) for s in (2, 3, 4))]
    assert collapse_state(far, RULE).step == 4
