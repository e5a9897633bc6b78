"""Eq. 1 and Eq. 4 of Arnal et al. 2025 by hand, and the identities that follow from them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymreinforce.algorithm import objective
from asymreinforce.algorithm.linear import positives_only
from asymreinforce.algorithm.objective import advantages
from asymreinforce.errors import ConfigError

REWARDS = torch.tensor([1.0, 0.0, 1.0, 1.0, -1.0, 1.0])
GROUPS = torch.tensor([7, 7, 3, 3, 3, 3])


def made(rewards: list[float], groups: list[int], **settings: object) -> list[float]:
    tensor = torch.tensor(rewards, dtype=torch.float64)
    found = advantages(tensor, torch.tensor(groups), **settings)  # type: ignore[arg-type]
    return [round(value, 12) for value in found.tolist()]


def test_the_advantage_is_reward_minus_group_mean_minus_baseline() -> None:
    assert made([1, 0], [0, 0], baseline=-0.1) == [0.6, -0.4]


def test_each_group_has_its_own_mean() -> None:
    assert made([1, 0, 1, 1, -1, 1], [7, 7, 3, 3, 3, 3], baseline=0.0) == [
        *(0.5, -0.5),
        *(0.5, 0.5, -1.5, 0.5),
    ]


def test_a_group_of_equal_rewards_is_kept_with_minus_the_baseline() -> None:
    assert made([1, 1, -1, -1], [0, 0, 1, 1], baseline=-0.1) == [0.1, 0.1, 0.1, 0.1]


def test_a_group_of_one_has_its_own_reward_as_reference() -> None:
    assert made([1, -1], [0, 1], baseline=0.2) == [-0.2, -0.2]


def test_leave_one_out_leaves_the_sample_itself_out() -> None:
    assert made([1, 0, 0], [0, 0, 0], baseline=0.0, reference_name="leave_one_out") == [
        1.0,
        -0.5,
        -0.5,
    ]


def test_leave_one_out_of_one_sample_is_an_error_that_says_how_to_mend_it() -> None:
    with pytest.raises(ConfigError, match=r"raise sampling\.samples_per_prompt"):
        made([1, 0, 0], [0, 0, 1], baseline=0.0, reference_name="leave_one_out")


def test_the_zero_reference_makes_the_baseline_the_constant_v_of_the_bandit() -> None:
    assert made([1, 0], [0, 0], baseline=0.25, reference_name="zero") == [0.75, -0.25]


def test_the_data_set_mean_is_the_same_for_every_group() -> None:
    assert made([1, 0], [0, 1], baseline=0.1, reference_name="dataset_mean", mean=0.3) == [
        0.6,
        -0.4,
    ]


def test_there_is_no_division_by_a_standard_deviation() -> None:
    small = made([0.1, 0.0], [0, 0], baseline=0.0)
    large = made([1.0, 0.0], [0, 0], baseline=0.0)
    assert [10 * value for value in small] == large


@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=30),
    st.floats(-1, 1),
    st.integers(2, 5),
)
def test_leave_one_out_at_offset_0_is_g_over_g_minus_1_times_group_mean(
    rewards: list[float], baseline: float, size: int
) -> None:
    rewards_B = torch.tensor(rewards * size, dtype=torch.float64)
    groups_B = torch.arange(len(rewards)).repeat(size)
    mean_B = advantages(rewards_B, groups_B, baseline=0.0)
    other_B = advantages(rewards_B, groups_B, baseline=0.0, reference_name="leave_one_out")
    torch.testing.assert_close(other_B, mean_B * size / (size - 1), rtol=0, atol=1e-12)


def test_the_loss_is_minus_the_mean_over_all_sequences_of_the_step() -> None:
    logps_B = torch.tensor([-1.0, -2.0])
    # two of four sequences, in one micro-batch: the normaliser is the step's
    assert float(objective.loss(logps_B, torch.tensor([0.6, -0.4]), sequences=4)) == pytest.approx(
        -(0.6 * -1.0 - 0.4 * -2.0) / 4
    )


def test_positives_only_weighs_each_success_by_one() -> None:
    correct_B = torch.tensor([True, False, True, True, False, True])
    advantages_B = advantages(REWARDS, GROUPS, baseline=0.0)
    found = positives_only(advantages_B, correct_B)
    assert found.tolist() == [1, 0, 1, 1, 0, 1]


def test_reference_zero_with_rewards_0_and_1_is_positives_only() -> None:
    correct_B = torch.tensor([True, False, True])
    advantages_B = advantages(
        correct_B.float(), torch.zeros(3), baseline=0.0, reference_name="zero"
    )
    assert torch.equal(advantages_B, positives_only(advantages_B, correct_B))
