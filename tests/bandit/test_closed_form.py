import mpmath
import pytest
import torch
from torch import Tensor

from asymreinforce.bandit.closed_form import (
    critical_value,
    iterated_limits,
    limit_at_mean,
    limit_below_mean,
    stable_arms,
)
from asymreinforce.bandit.problem import (
    Flow,
    expected_reward,
    flow_at_gap,
    flow_at_value,
)
from tests.fixtures.bandit_draws import ABOVE, BELOW, DRAWS, case

EPSILON = 2.0**-52


def random_bandit(seed: int, *, arms: int, ties: bool) -> tuple[Tensor, Tensor]:
    """Return mu and r; with ties, arms come in equal pairs and some rewards are equal besides."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(arms, generator=generator, dtype=torch.float64)
    rewards = torch.rand(arms, generator=generator, dtype=torch.float64)
    if ties:
        logits[1::2], rewards[1::2] = logits[::2].clone(), rewards[::2].clone()
        rewards[: arms // 4] = rewards[0]
    return logits.softmax(-1), rewards


def limit_to_fifty_digits(mu: list[float], rewards: list[float], value: float) -> list[mpmath.mpf]:
    """Theorem 4.2 by bisection on tau, from the exact values of the given floats."""
    with mpmath.workdps(50):
        drift = [mpmath.mpf(m) * (mpmath.mpf(r) - value) for m, r in zip(mu, rewards, strict=True)]
        gap = mpmath.fsum(drift)
        low, high = mpmath.mpf(0), max(drift)
        for _ in range(170):
            tau = (low + high) / 2
            mass = mpmath.fsum(a - tau for a in drift if a > tau)
            low, high = (tau, high) if mass > gap else (low, tau)
        return [max(a - low, mpmath.mpf(0)) / gap for a in drift]


def furthest(policy: list[float], exact: list[mpmath.mpf]) -> float:
    with mpmath.workdps(50):
        return float(max(abs(mpmath.mpf(p) - e) for p, e in zip(policy, exact, strict=True)))


def iterated_limit_reward(behaviour_CA: Tensor, rewards_CA: Tensor, value_C: Tensor) -> Tensor:
    """Return the reward that mu <- pi* tends to: the best arm's among the first limit's (C,).

    Every survivor of the first limit has r > V, so from then on tau = 0 and the iteration is
    mu(y) <- mu(y)(r(y) - V)/(V^mu - V), a power iteration that drops no arm.
    """
    first = limit_below_mean(flow_at_value(behaviour_CA, rewards_CA, value_C)).policy_CA
    return rewards_CA.masked_fill(first <= 0, -torch.inf).amax(-1)


@pytest.mark.parametrize("ties", [False, True])
def test_the_limit_agrees_with_fifty_digits_to_1e_12(ties: bool) -> None:
    for seed in range(12):
        mu, rewards = random_bandit(seed, arms=24, ties=ties)
        for gap in (2.0, 0.3, 0.1, 0.03, 0.01):
            value = float(mu @ rewards) - gap
            found = limit_below_mean(
                flow_at_value(mu[None], rewards[None], torch.tensor([value], dtype=torch.float64))
            )
            exact = limit_to_fifty_digits(mu.tolist(), rewards.tolist(), value)
            assert furthest(found.policy_CA[0].tolist(), exact) < 1e-12


@pytest.mark.parametrize("ties", [False, True])
def test_near_the_transition_the_error_stays_within_the_condition_number(ties: bool) -> None:
    for seed in range(8):
        mu, rewards = random_bandit(seed, arms=24, ties=ties)
        for gap in (1e-5, 1e-7, 1e-9):
            value = float(mu @ rewards) - gap
            found = limit_below_mean(
                flow_at_value(mu[None], rewards[None], torch.tensor([value], dtype=torch.float64))
            )
            exact = limit_to_fifty_digits(mu.tolist(), rewards.tolist(), value)
            assert furthest(found.policy_CA[0].tolist(), exact) < 4 * EPSILON / gap
            assert float(found.policy_CA.sum()) == pytest.approx(1, abs=1e-14)


def test_equal_arms_share_the_limit_equally() -> None:
    mu = torch.full((1, 4), 0.25, dtype=torch.float64)
    rewards = torch.tensor([[1.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    found = limit_below_mean(flow_at_gap(mu, rewards, torch.tensor([0.001], dtype=torch.float64)))
    assert found.policy_CA[0].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=1e-15)
    assert found.support_C.tolist() == [3]


def test_two_arms_have_the_limit_worked_out_by_hand() -> None:
    # V = .4: a = (.3, -.2), d = .1, one arm. V = -1: a = (1, .5), d = 1.5, tau = 0.
    mu = torch.full((2, 2), 0.5, dtype=torch.float64)
    rewards = torch.tensor([[1.0, 0.0]] * 2, dtype=torch.float64)
    found = limit_below_mean(
        flow_at_value(mu, rewards, torch.tensor([0.4, -1.0], dtype=torch.float64))
    )
    assert found.policy_CA.flatten().tolist() == pytest.approx([1, 0, 2 / 3, 1 / 3], abs=1e-15)
    assert found.threshold_C.tolist() == pytest.approx([0.2, 0.0], abs=1e-15)


def test_the_draw_of_seed_43_is_near_the_papers() -> None:
    of = case(BELOW)
    assert float(expected_reward(of.behaviour_CA, of.rewards_CA)[0]) == pytest.approx(
        0.54041, abs=5e-6
    )
    assert float(of.rewards_CA.max()) == pytest.approx(0.9987, abs=5e-5)


def test_supports_of_seed_43_are_those_of_the_closed_form() -> None:
    found = limit_below_mean(case(BELOW).flow)
    assert found.support_C.tolist() == [75, 50, 28, 19, 10, 6, 3, 2, 2, 1, 1]
    assert (found.policy_CA > 0).sum(-1).tolist() == found.support_C.tolist()


def test_possible_limits_of_seed_43_above_the_transition() -> None:
    assert stable_arms(case(ABOVE).flow).sum(-1).tolist() == [1, 1, 2, 3, 100]


def test_the_limit_never_earns_less_than_mu() -> None:
    for seed in range(100):
        mu, rewards = random_bandit(seed, arms=30, ties=seed % 2 == 0)
        gaps = torch.logspace(-9, 1, 40, dtype=torch.float64)
        many = (mu.repeat(40, 1), rewards.repeat(40, 1))
        earned = expected_reward(limit_below_mean(flow_at_gap(*many, gaps)).policy_CA, many[1])
        assert float((earned - mu @ rewards).min()) > -1e-14


def test_supports_are_nested_and_shrink_as_v_grows() -> None:
    sizes = set()
    for seed in range(100):
        mu, rewards = random_bandit(seed, arms=30, ties=False)
        gaps = torch.logspace(1, -6, 60, dtype=torch.float64)
        flow = flow_at_gap(mu.repeat(60, 1), rewards.repeat(60, 1), gaps)
        kept = limit_below_mean(flow).policy_CA > 0
        assert not bool((kept[1:] & ~kept[:-1]).any())
        sizes |= set(kept.sum(-1).tolist())
    assert {1, 30} <= sizes


def test_at_v_mu_mass_is_on_the_greatest_drift_in_the_ratios_of_pi_0() -> None:
    drift = torch.tensor([[0.2, 0.1, 0.2, -0.5]], dtype=torch.float64)
    first = torch.tensor([[0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)
    found = limit_at_mean(Flow(drift, torch.zeros(1, dtype=torch.float64)), first)
    assert found[0].tolist() == pytest.approx([0.25, 0, 0.75, 0], abs=1e-15)


def test_the_closed_form_below_v_mu_refuses_other_values() -> None:
    with pytest.raises(ValueError, match="needs V < V"):
        limit_below_mean(case((-0.1, 0.0)).flow)


def test_critical_value_of_seed_43() -> None:
    of = case((-0.1,))
    assert critical_value(of.behaviour_CA[0], of.rewards_CA[0]) == pytest.approx(0.48597, abs=5e-6)


def test_repeated_improvement_ends_optimal_iff_v_is_below_the_critical_value() -> None:
    of = case((-0.1,), seeds=DRAWS)
    pairs = zip(of.behaviour_CA, of.rewards_CA, strict=True)
    critical = torch.tensor([critical_value(*pair) for pair in pairs], dtype=torch.float64)
    best = of.rewards_CA.max(-1)
    for shift, is_optimal in ((-1e-6, True), (1e-6, False)):
        mu = of.behaviour_CA
        # Where the best arm survives up to V^mu itself, there is no V between the two.
        below_mean = critical + shift < expected_reward(mu, of.rewards_CA)
        assert int(below_mean.sum()) >= 17
        rewards, top = of.rewards_CA[below_mean], best.indices[below_mean, None]
        mu, values = mu[below_mean], critical[below_mean] + shift
        promised = iterated_limit_reward(mu, rewards, values)
        for _ in range(3000):
            found = limit_below_mean(flow_at_value(mu, rewards, values))
            mu = found.policy_CA
            assert torch.equal(found.support_C, (mu > 0).sum(-1))
        assert bool(((mu.gather(1, top) > 0) == is_optimal).all())
        assert bool(((promised == best.values[below_mean]) == is_optimal).all())
        assert expected_reward(mu, rewards).tolist() == pytest.approx(promised.tolist(), abs=4e-3)


def test_an_optimal_arm_that_mu_favours_survives_up_to_v_mu() -> None:
    mu = torch.tensor([0.2, 0.8], dtype=torch.float64)
    rewards = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert critical_value(mu, rewards) == pytest.approx(0.8, abs=1e-15)


def test_iterated_exact_limits_of_seed_43() -> None:
    of = case((-0.1, -0.1))
    values = torch.tensor([0.45, 0.5], dtype=torch.float64)
    rewards = iterated_limits(of.behaviour_CA, of.rewards_CA, values, iterations=2000)
    assert rewards[-1].tolist() == pytest.approx([0.9987, 0.9543], abs=5e-5)
    assert float((rewards[1:] - rewards[:-1]).min()) > -1e-14
