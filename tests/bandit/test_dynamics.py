import pytest
import torch

from asymreinforce.bandit import dynamics
from asymreinforce.bandit.closed_form import (
    largest_stable_lr,
    limit_at_mean,
    limit_below_mean,
    stable_arms,
)
from asymreinforce.bandit.dynamics import advance_logits, ascend_drifts, decided_arm, reached_arm
from asymreinforce.bandit.problem import Flow, total_variation
from tests.fixtures.bandit_draws import ABOVE, BELOW, DRAWS, case

RESOLVED = 30.0
"""Where |a - tau| times the steps is less, an arm may still move: exp(-30) is far under 1e-6."""


def test_a_hundred_steps_are_the_formula_a_hundred_times() -> None:
    of = case((-0.5, -0.01, 0.0, 0.1), seeds=(43, 0))
    lr_C = torch.linspace(0.1, 3, 8, dtype=torch.float64)
    plain = of.logits_CA
    for _ in range(100):
        pull = of.flow.drift_CA - of.flow.gap_C[:, None] * plain.softmax(-1)
        plain = plain + lr_C[:, None] * pull
    fast = advance_logits(of.logits_CA, of.flow, lr_C=lr_C, steps=100)
    slow = ascend_drifts(of.logits_CA, [of.flow.drift_CA] * 100, lr_C=lr_C)
    assert float((fast.softmax(-1) - plain.softmax(-1)).abs().max()) < 1e-13
    assert float((slow.softmax(-1) - plain.softmax(-1)).abs().max()) < 1e-13


def test_a_chain_does_not_depend_on_the_chains_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    of = case(BELOW)
    together = advance_logits(of.logits_CA, of.flow, lr_C=of.lr_C, steps=150)
    monkeypatch.setattr(dynamics, "BLOCK", 300)
    in_blocks = advance_logits(of.logits_CA, of.flow, lr_C=of.lr_C, steps=150)
    assert float((together.softmax(-1) - in_blocks.softmax(-1)).abs().max()) < 1e-15


def test_steps_that_are_cut_into_parts_are_the_same_steps() -> None:
    of = case(BELOW)
    whole = advance_logits(of.logits_CA, of.flow, lr_C=of.lr_C, steps=1000)
    half = advance_logits(of.logits_CA, of.flow, lr_C=of.lr_C, steps=377)
    half = advance_logits(half, of.flow, lr_C=of.lr_C, steps=623)
    assert float((whole.softmax(-1) - half.softmax(-1)).abs().max()) < 1e-13


def test_logits_that_grow_without_bound_never_overflow() -> None:
    of = case((0.4,))
    ended = advance_logits(
        of.logits_CA, of.flow, lr_C=torch.tensor([5e3], dtype=torch.float64), steps=500
    )
    assert ended.isfinite().all()
    assert float(ended.softmax(-1).max()) == 1.0


def test_denormal_numbers_of_the_caller_survive_a_run() -> None:
    of = case((-0.1,))
    advance_logits(of.logits_CA, of.flow, lr_C=of.lr_C, steps=1)
    assert float(torch.tensor(1e-308, dtype=torch.float64) / 16) > 0


def test_chains_reach_the_closed_form_in_21_draws() -> None:
    of = case(BELOW, seeds=DRAWS)
    exact = limit_below_mean(of.flow)
    early = advance_logits(of.logits_CA, of.flow, lr_C=of.lr_C, steps=30_000)
    distance = total_variation(early.softmax(-1), exact.policy_CA)
    assert float(distance[: len(BELOW)].max()) < 1e-3

    late = advance_logits(early, of.flow, lr_C=of.lr_C, steps=70_000)
    distance = total_variation(late.softmax(-1), exact.policy_CA)
    assert float(distance.max()) < 1e-3
    margin = (of.flow.drift_CA - exact.threshold_C[:, None]).abs().amin(-1)
    resolved = margin * 100_000 > RESOLVED
    assert int(resolved.sum()) > 100
    assert float(distance[resolved].max()) < 1e-6


def test_a_threshold_on_pi_counts_another_support_than_the_closed_form() -> None:
    exact = limit_below_mean(case((-0.5,)).flow)
    assert int((exact.policy_CA > 1e-3).sum()) == 41
    assert exact.support_C.tolist() == [75]


def test_at_v_mu_equal_arms_keep_the_ratio_of_pi_0() -> None:
    drift = torch.tensor([[0.02, 0.02, -0.04]], dtype=torch.float64)
    flow = Flow(drift, torch.zeros(1, dtype=torch.float64))
    logits = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    ended = advance_logits(logits, flow, lr_C=torch.ones(1).double(), steps=2000).softmax(-1)
    exact = limit_at_mean(flow, logits.softmax(-1))
    assert float(total_variation(ended, exact)) < 1e-12
    assert float(exact[0, 1] / exact[0, 0]) == pytest.approx(torch.e, rel=1e-12)


def test_above_v_mu_every_chain_ends_on_one_of_the_possible_arms() -> None:
    of = case(ABOVE, seeds=DRAWS)
    arm_C = reached_arm(of.logits_CA, of.flow, lr_C=of.lr_C)
    assert int(arm_C.min()) >= 0
    assert bool(stable_arms(of.flow).gather(1, arm_C[:, None]).all())


def test_where_several_arms_are_possible_pi_0_decides() -> None:
    of = case((0.05,) * 4)
    logits = of.logits_CA.clone()
    favoured = [3, 40, 82, 99]
    for chain, arm in enumerate(favoured):
        logits[chain, arm] += 20
    assert reached_arm(logits, of.flow, lr_C=of.lr_C).tolist() == favoured


def test_where_one_arm_is_possible_pi_0_does_not_matter() -> None:
    of = case((0.001,) * 3)
    logits = of.logits_CA.clone()
    for chain, arm in enumerate([40, 82, 99]):
        logits[chain, arm] += 12
    assert stable_arms(of.flow).sum(-1).tolist() == [1, 1, 1]
    assert reached_arm(logits, of.flow, lr_C=of.lr_C).tolist() == [96, 96, 96]


def test_an_arm_that_is_certified_is_the_arm_that_wins() -> None:
    of = case((0.01, 0.05, 0.1), seeds=DRAWS)
    logits, certified = of.logits_CA, torch.full((len(of.lr_C),), -1)
    early = 0
    for _ in range(20):
        arm = decided_arm(logits, of.flow)
        assert bool(((certified < 0) | (arm == certified)).all())
        early += int(((arm >= 0) & (logits.softmax(-1).amax(-1) < 0.5)).sum())
        certified = arm
        logits = advance_logits(logits, of.flow, lr_C=of.lr_C, steps=50)
    ended = advance_logits(logits, of.flow, lr_C=of.lr_C, steps=20_000).softmax(-1)
    decided = certified >= 0
    assert int(decided.sum()) > 50
    assert early > 20
    assert ended.argmax(-1)[decided].tolist() == certified[decided].tolist()


def test_two_equal_arms_are_never_certified() -> None:
    flow = Flow(
        torch.tensor([[0.1, 0.1, -0.4]], dtype=torch.float64),
        torch.tensor([-0.2], dtype=torch.float64),
    )
    assert decided_arm(torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64), flow).tolist() == [-1]


def test_the_largest_stable_learning_rate_is_sharp() -> None:
    of = case((-0.3, -0.1, -0.02))
    largest = largest_stable_lr(of.flow)
    exact = limit_below_mean(of.flow).policy_CA
    below = advance_logits(of.logits_CA, of.flow, lr_C=0.98 * largest, steps=10_000)
    above = advance_logits(of.logits_CA, of.flow, lr_C=1.02 * largest, steps=10_000)
    assert float(total_variation(below.softmax(-1), exact).max()) < 1e-5
    assert float(total_variation(above.softmax(-1), exact).min()) > 1e-2


def test_no_learning_rate_is_unstable_above_v_mu_or_with_one_arm_left() -> None:
    assert largest_stable_lr(case((-0.001, 0.0, 0.1)).flow).tolist() == [float("inf")] * 3
