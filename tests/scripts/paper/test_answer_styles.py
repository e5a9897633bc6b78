"""Ways of answering as arms: the prediction by hand, and against the update of a bandit of ways."""

import pytest
import torch
from torch import Tensor

from asymreinforce.algorithm.objective import advantages
from scripts.paper.answer_styles import Ways, measure_drift, predicted_shares

WORKED, DIRECT, OTHER = 0, 1, 2
SHARES = torch.tensor([0.2, 0.8, 0.0], dtype=torch.float64)
REWARDS = torch.tensor([0.96, -0.46, -1.0], dtype=torch.float64)


def exact(baseline: float) -> Ways:
    """mu(w) and a(w) = mu(w) (r(w) - V), V = V^mu + baseline."""
    value = float(SHARES @ REWARDS) + baseline
    return Ways(SHARES, SHARES * (REWARDS - value))


def shares_at(baseline: float) -> list[float]:
    found = predicted_shares(exact(baseline))
    assert found is not None
    return [round(share, 6) for share in found.tolist()]


def test_far_below_the_mean_both_ways_stay_in_proportion_to_their_drifts() -> None:
    """V = -0.676: a = (0.2 * 1.636, 0.8 * 0.216), d = 0.5, nothing is cut off."""
    assert shares_at(-0.5) == [0.6544, 0.3456, 0.0]


def test_nearer_to_the_mean_only_the_better_way_stays() -> None:
    """V = -0.276: the direct way pays less than V, so its drift is negative."""
    assert shares_at(-0.1) == [1.0, 0.0, 0.0]


def test_at_the_mean_the_way_with_the_largest_drift_has_all() -> None:
    assert shares_at(0.0) == [1.0, 0.0, 0.0]


def test_above_the_mean_one_way_where_the_theorem_names_it_and_none_where_it_does_not() -> None:
    """At 0.1 the drifts differ by more than the gap, at 2 by less."""
    assert shares_at(0.1) == [1.0, 0.0, 0.0]
    assert predicted_shares(exact(2.0)) is None


def test_the_flow_of_a_softmax_over_ways_ends_where_it_was_predicted() -> None:
    """Expected AsymRE, dl = a - d pi, by small steps from mu."""
    ways = exact(-0.5)
    logits = (SHARES + 1e-300).log()
    gap = ways.drift_W.sum()
    for _ in range(4_000):
        logits = logits + 0.25 * (ways.drift_W - gap * logits.softmax(-1))
    expected = predicted_shares(ways)
    assert expected is not None
    torch.testing.assert_close(logits.softmax(-1), expected, rtol=0, atol=1e-9)


def samples(seed: int, *, prompts: int = 20_000, group: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Way, reward (+1 or -1) and group of samples whose ways pay REWARDS on average."""
    generator = torch.Generator().manual_seed(seed)
    way_B = torch.multinomial(SHARES, prompts * group, replacement=True, generator=generator)
    draws_B = torch.rand(prompts * group, generator=generator, dtype=torch.float64)
    is_right_B = draws_B < ((1 + REWARDS) / 2)[way_B]
    return way_B, 2 * is_right_B.double() - 1, torch.arange(prompts).repeat_interleave(group)


def test_drifts_of_samples_are_g_minus_1_over_g_of_the_exact_ones_at_the_shifted_v() -> None:
    """With the group's mean as reference: V = V^mu + baseline * G/(G-1)."""
    way_B, reward_B, groups_B = samples(0)
    advantages_B = advantages(reward_B, groups_B, baseline=-0.35)
    found, expected = measure_drift(way_B, advantages_B, ways=3), exact(-0.35 * 8 / 7)
    torch.testing.assert_close(found.drift_W, expected.drift_W * 7 / 8, rtol=0, atol=5e-3)
    torch.testing.assert_close(found.behaviour_W, SHARES, rtol=0, atol=5e-3)
    assert float(found.drift_W.sum()) == pytest.approx(0.35, abs=1e-9)


def test_rounding_at_baseline_0_is_taken_for_the_critical_value() -> None:
    way_B, reward_B, groups_B = samples(1, prompts=500)
    ways = measure_drift(way_B, advantages(reward_B, groups_B, baseline=0.0), ways=3)
    assert abs(float(ways.drift_W.sum())) < 1e-12
    found = predicted_shares(ways)
    assert found is not None
    assert found.tolist() == [1.0, 0.0, 0.0]
