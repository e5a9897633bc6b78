"""The optimizer step against a slow loop in fp64, and the identities of the objective's gradient.

All gradients are before clipping and the optimizer.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asymreinforce.algorithm.kinds import Ratio
from asymreinforce.algorithm.linear import positives_only
from asymreinforce.algorithm.objective import advantages
from asymreinforce.algorithm.table import objective_of
from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.config import AlgorithmConfig
from asymreinforce.errors import TrainingError
from asymreinforce.model.checkpoint import load_model
from asymreinforce.update.layers import checkpoint_activations
from asymreinforce.update.loss_inputs import RatioInputs
from asymreinforce.update.packing import PackedRow, Sequences, pack_rows
from tests.fixtures import slow_trainer as naive

GROUPS_B = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
REWARDS_B = torch.tensor([1, -1, 1, -1, -1, 1, 1, 1, 1], dtype=torch.float64)


@pytest.fixture(scope="module")
def model(random_policy: Path) -> Any:
    return naive.in_fp64(random_policy)


@pytest.fixture(scope="module")
def batch() -> Sequences:
    return naive.sequences(0)


def gradient(model: Any, batch: Sequences, **settings: Any) -> Tensor:
    """The trainer's gradient for rewards of +1 and -1 in three groups of three."""
    return naive.gradient_of_step(model, batch, advantages(REWARDS_B, GROUPS_B, **settings))


def assert_equal(found: Tensor, expected: Tensor) -> None:
    assert float(expected.abs().max()) > 1e-3  # nothing is proved by two zeros
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_step_s_gradient_equals_a_loop_over_sequences(model: Any, batch: Sequences) -> None:
    coefficients_B = advantages(REWARDS_B, GROUPS_B, baseline=-0.1)
    expected = naive.policy_gradient(model, batch, coefficients_B.tolist())
    assert_equal(naive.gradient_of_step(model, batch, coefficients_B), expected)


def test_in_fp32_it_equals_the_loop_in_fp64_to_2e_5(
    random_policy: Path, model: Any, batch: Sequences
) -> None:
    coefficients_B = advantages(REWARDS_B, GROUPS_B, baseline=-0.1)
    expected = naive.policy_gradient(model, batch, coefficients_B.tolist())
    found = naive.gradient_of_step(load_model(random_policy), batch, coefficients_B)
    assert float((found - expected).norm() / expected.norm()) < 2e-5


def test_the_loss_and_the_log_probabilities_of_a_step_are_those_of_the_loop(
    model: Any, batch: Sequences
) -> None:
    coefficients_B = advantages(REWARDS_B, GROUPS_B, baseline=-0.1)
    with torch.no_grad():
        logps = [float(naive.token_logps(model, x, y).sum()) for x, y in zip(*batch, strict=True)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    done = naive.trainer(model).step(batch, coefficients_B)
    model.load_state_dict(before)
    np.testing.assert_allclose(done.logps_B, logps, rtol=1e-12)
    with torch.no_grad():
        expected = naive.paper_loss(model, batch, coefficients_B.tolist())
    assert done.loss == pytest.approx(float(expected))
    assert done.skipped == 0


def test_the_gradient_is_affine_in_v(model: Any, batch: Sequences) -> None:
    """g_V = g_r - V g_1, with g_r and g_1 the gradients for coefficients r and 1."""
    of_rewards = naive.gradient_of_step(model, batch, REWARDS_B)
    of_ones = naive.gradient_of_step(model, batch, torch.ones_like(REWARDS_B))
    for baseline in (-0.5, 0.3):
        found = gradient(model, batch, baseline=baseline, reference_name="zero")
        assert_equal(found, of_rewards - baseline * of_ones)


def test_a_shift_of_minus_beta_adds_beta_times_the_gradient_of_forward_kl(
    model: Any, batch: Sequences
) -> None:
    """KL(mu || pi) = mean(log mu - log pi) over the samples of mu."""
    logps = [naive.token_logps(model, x, y).sum() for x, y in zip(*batch, strict=True)]
    kl = torch.stack([logp.detach() - logp for logp in logps]).mean()
    of_kl = naive.gradient_of(kl, model)
    at_zero = gradient(model, batch, baseline=0.0)
    assert_equal(gradient(model, batch, baseline=-0.3), at_zero + 0.3 * of_kl)


def test_leave_one_out_at_0_is_g_over_g_minus_1_times_group_mean(
    model: Any, batch: Sequences
) -> None:
    found = gradient(model, batch, baseline=0.0, reference_name="leave_one_out")
    assert_equal(found, 3 / 2 * gradient(model, batch, baseline=0.0))


def test_reference_zero_with_rewards_0_and_1_is_sft_on_successes_times_their_share(
    model: Any, batch: Sequences
) -> None:
    right = np.flatnonzero(REWARDS_B.numpy() > 0)
    coefficients_B = advantages(
        (REWARDS_B > 0).double(), GROUPS_B, baseline=0.0, reference_name="zero"
    )
    of_sft = naive.policy_gradient(model, batch.take(right), [1.0] * len(right))
    found = naive.gradient_of_step(model, batch, coefficients_B)
    assert_equal(found, len(right) / 9 * of_sft)
    of_positives = positives_only(REWARDS_B, REWARDS_B > 0)
    assert torch.equal(of_positives, coefficients_B)


def test_skipped_sequences_leave_the_gradient_and_count_in_the_normaliser(
    model: Any, batch: Sequences
) -> None:
    coefficients_B = torch.tensor([0.5, 0, 0, -1, 0, 0, 0, 0, 2], dtype=torch.float64)
    kept = batch.take([0, 3, 8])
    expected = naive.policy_gradient(model, kept, [0.5, -1, 2]) * 3 / 9
    assert_equal(naive.gradient_of_step(model, batch, coefficients_B), expected)


def test_skipped_sequences_are_counted_and_have_no_log_probability(
    random_policy: Path, batch: Sequences
) -> None:
    coefficients_B = torch.tensor([0.5, 0, 0, -1, 0, 0, 0, 0, 2])
    done = naive.trainer(load_model(random_policy)).step(batch, coefficients_B)
    assert done.skipped == 6
    assert np.flatnonzero(np.isfinite(done.logps_B)).tolist() == [0, 3, 8]


def test_the_order_of_sequences_across_rows_keeps_each_log_probability_in_its_place(
    random_policy: Path,
) -> None:
    batch = naive.sequences(4, groups=6, samples=2)
    model = load_model(random_policy)
    order = np.random.default_rng(0).permutation(12)
    straight = naive.trainer(model, tokens=40, lr=1e-30).step(batch, torch.ones(12)).logps_B
    shuffled = naive.trainer(model, tokens=40, lr=1e-30).step(batch.take(order), torch.ones(12))
    np.testing.assert_allclose(shuffled.logps_B, straight[order], atol=1e-4)
    assert np.ptp(straight) > 1  # the log-probabilities differ, so places can be told apart


@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_step_of_zero_coefficients_steps_the_optimizer(
    random_policy: Path, batch: Sequences, steps_before: int
) -> None:
    model = load_model(random_policy)
    trainer = naive.trainer(model, warmup_steps=10)
    for _ in range(steps_before):
        trainer.step(batch, torch.ones(9))
    before = [p.detach().clone() for p in model.parameters()]
    done = trainer.step(batch, torch.zeros(9))
    assert (done.loss, done.grad_norm, done.skipped) == (0.0, 0.0, 9)
    assert done.lr == pytest.approx(1e-3 * (steps_before + 1) / 10)
    for parameter in model.parameters():
        assert float(trainer.optimizer.state[parameter]["step"]) == steps_before + 1
    moved = any(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert moved == (steps_before > 0)  # momentum moves the weights on


def test_a_gradient_longer_than_grad_clip_is_scaled_to_it(
    random_policy: Path, batch: Sequences
) -> None:
    model = load_model(random_policy)
    done = naive.trainer(model, grad_clip=0.5).step(batch, 100 * torch.ones(9))
    assert done.grad_norm > 0.5  # as it was before
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_raises_and_leaves_the_weights(
    random_policy: Path, batch: Sequences, bad: float
) -> None:
    model = load_model(random_policy)
    trainer = naive.trainer(model)
    trainer.step(batch, torch.ones(9))
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(TrainingError, match=rf"the loss is -?{bad}"):
        trainer.step(batch, torch.tensor([1.0] * 8 + [bad]))
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
    assert trainer.step(batch, torch.ones(9)).loss != 0  # and the trainer still works


def test_the_prompt_of_a_group_is_computed_once(batch: Sequences) -> None:
    alone = sum(len(x) + len(y) - 1 for x, y in zip(*batch, strict=True))
    (row,) = pack_rows(batch, tokens=1024)
    repeated = sum(2 * len(batch.prompts[3 * group]) for group in range(3))
    assert alone - len(row.input_ids_T) == repeated


@pytest.mark.parametrize("tokens", [1, 40, 1024])
@pytest.mark.parametrize("name", ["grpo", "topr", "opmd_kimi", "asymre_reverse_kl"])
def test_a_ratio_objective_s_gradient_equals_its_formula_over_sequences(
    model: Any, batch: Sequences, name: str, tokens: int
) -> None:
    objective = objective_of(AlgorithmConfig(name=name), baseline_reference="group_mean")
    assert isinstance(objective, Ratio)
    advantages_B = objective.advantages(
        REWARDS_B,
        GROUPS_B,
        correct_B=REWARDS_B > 0,
        baseline=0.0,
        reference_name="group_mean",
    )
    logps = [naive.token_logps(model, x, y) for x, y in zip(*batch, strict=True)]
    generator = np.random.default_rng(0)
    behaviour = [logp.detach().numpy() + 0.1 * generator.normal(size=len(logp)) for logp in logps]
    weights_B = torch.linspace(0.5, 1.5, 9, dtype=torch.float64)
    parts = [
        objective.loss(
            TokenLogps(
                logp,
                torch.from_numpy(behaviour[i]),
                advantages_B[i : i + 1],
                torch.zeros(len(logp), dtype=torch.int64),
            ),
            weights_B[i : i + 1],
        )
        for i, logp in enumerate(logps)
    ]
    expected = naive.gradient_of(torch.stack(parts).sum() / 9, model)
    terms = RatioInputs(objective.loss, advantages_B, weights_B, behaviour)
    assert_equal(naive.gradient_of_step(model, batch, terms, tokens=tokens), expected)


def test_recomputed_activations_give_the_same_gradient(
    random_policy: Path, batch: Sequences
) -> None:
    coefficients_B = torch.linspace(-1, 1, 9)
    plain = naive.gradient_of_step(load_model(random_policy), batch, coefficients_B)
    model = load_model(random_policy).train()
    checkpoint_activations(model)
    assert torch.equal(naive.gradient_of_step(model, batch, coefficients_B), plain)


def test_out_of_memory_halves_the_rows_says_so_and_loses_nothing(
    random_policy: Path,
    batch: Sequences,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    coefficients_B = torch.linspace(-1, 1, 9)
    expected = naive.gradient_of_step(load_model(random_policy), batch, coefficients_B)
    trainer = naive.trainer(load_model(random_policy), tokens=300)
    forward, calls = trainer.scorer.forward, []

    def small_device(row: PackedRow, *args: Any) -> Any:
        calls.append(len(row.input_ids_T))
        if trainer.tokens_per_micro_batch > 100:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return forward(row, *args)

    monkeypatch.setattr(trainer.scorer, "forward", small_device)
    trainer.step(batch, coefficients_B)
    assert trainer.tokens_per_micro_batch == 75
    found = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert "out of memory: rows of 75 tokens from here on" in capsys.readouterr().err


def test_a_device_too_small_for_short_rows_is_an_error_that_says_what_to_change(
    random_policy: Path, batch: Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = naive.trainer(load_model(random_policy))

    def no_memory(*args: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(trainer.scorer, "forward", no_memory)
    with pytest.raises(
        TrainingError, match=r"activation_checkpointing=true .*goes on.*train\.lora\.rank"
    ):
        trainer.step(batch, torch.ones(9))
