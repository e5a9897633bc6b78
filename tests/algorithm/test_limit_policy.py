"""At which V arms leave the limit of Theorem 4.2, against the limit itself and by hand."""

import pytest
import torch

from asymreinforce.algorithm.limit_policy import (
    limit_support,
    survival_values,
    value_of_support,
)
from asymreinforce.algorithm.references import group_mean
from asymreinforce.bandit.closed_form import limit_below_mean
from asymreinforce.bandit.problem import flow_at_value
from asymreinforce.errors import ConfigError

STEP = 1e-7


def is_kept(mu_A: torch.Tensor, rewards_A: torch.Tensor, value: float) -> torch.Tensor:
    """The arms that have mass in the closed form's limit at V   (A,)."""
    value_C = torch.tensor([value], dtype=torch.float64)
    return limit_below_mean(flow_at_value(mu_A[None], rewards_A[None], value_C)).policy_CA[0] > 0


def bandit(seed: int, *, arms: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(2, arms, dtype=torch.float64, generator=generator)
    return (3 * drawn[0]).softmax(-1), drawn[1]


@pytest.mark.parametrize("seed", range(8))
def test_an_arm_is_in_the_limit_below_its_last_value_and_not_above(seed: int) -> None:
    mu_A, rewards_A = bandit(seed, arms=12)
    mean = float(mu_A @ rewards_A)
    values_A = survival_values(mu_A, rewards_A)
    assert float(values_A.max()) == pytest.approx(mean, abs=1e-12)
    assert float(values_A.min()) < mean - 0.1
    for arm, value in enumerate(values_A.tolist()):
        assert is_kept(mu_A, rewards_A, min(value, mean) - STEP)[arm]
        if value < mean - 2 * STEP:
            assert not is_kept(mu_A, rewards_A, value + STEP)[arm]


@pytest.mark.parametrize("support", [0.1, 0.5, 0.9, 1.0])
def test_the_value_of_a_support_is_the_last_at_which_the_limit_holds_so_much(
    support: float,
) -> None:
    for seed in range(5):
        mu_A, rewards_A = bandit(seed, arms=9)
        mean = float(mu_A @ rewards_A)
        value = value_of_support(mu_A, rewards_A, support=support)
        before = is_kept(mu_A, rewards_A, min(value, mean) - STEP)
        assert float(mu_A[before].sum()) >= support - 1e-12
        if value < mean - 2 * STEP:
            after = is_kept(mu_A, rewards_A, value + STEP)
            assert float(mu_A[after].sum()) < support


def test_with_two_rewards_a_prompt_has_its_mean_or_if_it_is_hard_the_low_reward() -> None:
    """Shares of 1/4, 1/2 and 3/4 of unlike completions, at a support of 1/2."""
    rewards_B = torch.tensor([1, -1, -1, -1, 1, 1, -1, -1, 1, 1, 1, -1], dtype=torch.float64)
    groups_B = torch.tensor([7] * 4 + [2] * 4 + [5] * 4)
    values_B = limit_support(rewards_B, groups_B, torch.arange(12), support=0.5)
    assert values_B.tolist() == pytest.approx([-1.0] * 4 + [0.0] * 4 + [0.5] * 4)


def test_a_success_that_came_once_leaves_before_one_that_came_three_times() -> None:
    """mu is 3/4 and 1/4, r is 1 and 0.8: the second has mass iff a_1 - a_2 < d."""
    rewards_B = torch.tensor([1.0, 1.0, 1.0, 0.8], dtype=torch.float64)
    completions_B, groups_B = torch.tensor([4, 4, 4, 9]), torch.zeros(4, dtype=torch.long)
    # 0.75 (1 - V) - 0.25 (0.8 - V) = 0.95 - V  at  V = 0.8
    whole_B = limit_support(rewards_B, groups_B, completions_B, support=1.0)
    assert whole_B.tolist() == pytest.approx([0.8] * 4)
    most_B = limit_support(rewards_B, groups_B, completions_B, support=0.75)
    assert most_B.tolist() == pytest.approx([0.95] * 4)


def test_a_completion_that_was_judged_twice_has_its_mean_reward() -> None:
    rewards_B = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    completions_B, groups_B = torch.tensor([0, 0, 1, 2]), torch.zeros(4, dtype=torch.long)
    # shares 1/2, 1/4, 1/4 with rewards 1/2, 1 and 0: their drifts at V = 0 are 1/4, 1/4 and 0
    values_B = limit_support(rewards_B, groups_B, completions_B, support=1.0)
    assert values_B.tolist() == pytest.approx([0.0] * 4, abs=1e-12)


def test_equal_rewards_are_exactly_the_value_whatever_their_shares_round_to() -> None:
    for reward in (-1.0, 0.1, 1.0):
        rewards_B = torch.full((7,), reward, dtype=torch.float64)
        completions_B, groups_B = torch.tensor([0, 0, 1, 2, 2, 2, 3]), torch.zeros(7).long()
        values_B = limit_support(rewards_B, groups_B, completions_B, support=0.9)
        assert values_B.tolist() == [reward] * 7


def test_the_value_never_exceeds_the_group_s_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards_B = torch.rand(60, dtype=torch.float64, generator=generator)
    groups_B = torch.randint(6, (60,), generator=generator)
    completions_B = torch.randint(4, (60,), generator=generator)
    means_B = group_mean(rewards_B, groups_B)
    for support in (0.2, 0.6, 1.0):
        values_B = limit_support(rewards_B, groups_B, completions_B, support=support)
        assert bool((values_B <= means_B + 1e-12).all())
    assert float((means_B - values_B).min()) > 0.01  # at a support of 1 all are below it


@pytest.mark.parametrize("support", [0.0, -0.1, 1.01])
def test_a_support_out_of_range_is_an_error_that_names_it(support: float) -> None:
    with pytest.raises(ConfigError, match=f"at most 1, not {support}"):
        limit_support(torch.ones(2), torch.zeros(2).long(), torch.arange(2), support=support)
