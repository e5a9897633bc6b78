"""A step of an objective that looks at all of it: gradient, loss, what is skipped, and memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asymreinforce.algorithm.table import objective_of
from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.config import AlgorithmConfig
from asymreinforce.model.checkpoint import load_model
from asymreinforce.update.loss_inputs import StepInputs
from asymreinforce.update.packing import PackedRow, Sequences
from tests.fixtures import slow_trainer as naive

GROUPS_B = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
REWARDS_B = torch.tensor([1, -1, 1, -1, -1, 1, 1, 1, 1], dtype=torch.float64)


@pytest.fixture(scope="module")
def model(random_policy: Path) -> Any:
    return naive.in_fp64(random_policy)


@pytest.fixture(scope="module")
def batch() -> Sequences:
    return naive.sequences(0)


def step_inputs(name: str, behaviour: list[np.ndarray], **options: Any) -> StepInputs:
    """As the train stage makes them, without files."""
    objective = objective_of(AlgorithmConfig(name=name, **options), baseline_reference="group_mean")
    correct_B = REWARDS_B > 0
    advantages_B = objective.advantages(
        REWARDS_B, GROUPS_B, correct_B=correct_B, baseline=0.0, reference_name="group_mean"
    )
    weights_B = torch.linspace(0.5, 1.5, 9, dtype=torch.float64)

    def loss(logps_C: Tensor, behaviour_logps_C: Tensor, sequence_of_C: Tensor) -> Tensor:
        tokens = TokenLogps(logps_C, behaviour_logps_C, advantages_B, sequence_of_C, GROUPS_B)
        return objective.loss(tokens._replace(correct_B=correct_B), weights_B)

    return StepInputs(loss, behaviour)


def near(model: Any, batch: Sequences) -> tuple[list[Tensor], list[np.ndarray]]:
    """log pi of each token, and a log mu near it."""
    logps = [naive.token_logps(model, x, y) for x, y in zip(*batch, strict=True)]
    generator = np.random.default_rng(0)
    return logps, [logp.detach().numpy() + 0.3 * generator.normal(size=len(logp)) for logp in logps]


def of_formula(inputs: StepInputs, logps: list[Tensor]) -> Tensor:
    """The loss of the step, with its graph."""
    lengths = torch.tensor([len(logp) for logp in logps])
    places_C = torch.arange(9).repeat_interleave(lengths)
    behaviour_C = torch.from_numpy(np.concatenate(inputs.behaviour_logps))
    return inputs.loss(torch.cat(logps), behaviour_C, places_C) / 9


@pytest.mark.parametrize("tokens", [1, 40, 1024])
@pytest.mark.parametrize("name", ["m2po", "dpo"])
def test_the_gradient_is_that_of_the_formula_however_a_step_is_cut_up(
    model: Any, batch: Sequences, name: str, tokens: int
) -> None:
    logps, behaviour = near(model, batch)
    inputs = step_inputs(name, behaviour)
    expected = naive.gradient_of(of_formula(inputs, logps), model)
    made = naive.gradient_of_step(model, batch, inputs, tokens=tokens)
    assert float(expected.abs().max()) > 1e-3
    torch.testing.assert_close(made, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "skipped"), [("m2po", [6, 7, 8]), ("dpo", [6, 7, 8])])
def test_the_loss_is_the_objective_s_and_sequences_without_one_are_skipped(
    model: Any, batch: Sequences, name: str, skipped: list[int]
) -> None:
    logps, behaviour = near(model, batch)
    inputs = step_inputs(name, behaviour)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    update = naive.trainer(model).step(batch, inputs)
    model.load_state_dict(before)
    assert update.loss == pytest.approx(float(of_formula(inputs, logps).detach()), rel=1e-12)
    assert update.skipped == len(skipped)
    assert np.flatnonzero(np.isnan(update.logps_B)).tolist() == skipped


def test_a_step_without_any_loss_moves_nothing(random_policy: Path, batch: Sequences) -> None:
    behaviour = [np.full(len(y), -1.0) for y in batch.completions]
    inputs = StepInputs(lambda logps_C, behaviour_C, places_C: torch.zeros(()), behaviour)
    policy = load_model(random_policy)
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    update = naive.trainer(policy).step(batch, inputs)
    assert (update.loss, update.grad_norm, update.skipped) == (0.0, 0.0, 9)
    for old, new in zip(before, policy.parameters(), strict=True):
        assert torch.equal(old, new)


def test_a_first_pass_that_does_not_fit_is_taken_in_shorter_rows(
    random_policy: Path, batch: Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = naive.trainer(load_model(random_policy), tokens=300)
    forward, lengths = trainer.scorer.forward, []

    def small_device(row: PackedRow, *args: Any, **how: Any) -> Any:
        lengths.append(len(row.input_ids_T))
        if trainer.tokens_per_micro_batch > 100:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return forward(row, *args, **how)

    monkeypatch.setattr(trainer.scorer, "forward", small_device)
    behaviour = [np.full(len(y), -5.0) for y in batch.completions]
    update = trainer.step(batch, step_inputs("dpo", behaviour))
    assert trainer.tokens_per_micro_batch == 75
    assert np.isfinite(update.loss) and update.grad_norm > 0
