"""A model in training decodes in the precision that it trains in, and is left as it was."""

import types
from pathlib import Path
from typing import Any

import pytest
import torch

from asymreinforce.config import LoraConfig, OptimConfig
from asymreinforce.model import adapters
from asymreinforce.model.checkpoint import load_model
from asymreinforce.stages.train.decoding import decoding
from asymreinforce.update.trainer import Trainer
from tests.fixtures import slow_trainer as naive


def stepped(model: Any) -> Any:
    """A trainer in bf16 after a step, whose parameters hold gradients."""
    config = OptimConfig(lr=1e-3, trajectories_per_step=1)
    trainer = Trainer(model.train(), config, autocast=True)
    trainer.step(naive.sequences(0), torch.linspace(-1, 1, 9))
    return trainer


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def adapted(checkpoint: Path) -> Any:
    """Frozen weights in bf16, adapters in fp32, as a run has them."""
    model = load_model(checkpoint, dtype=torch.bfloat16)
    adapters.attach_adapters(model, LoraConfig(rank=4), seed=0)
    return model


@pytest.mark.parametrize("kind", ["whole", "adapters"])
def test_masters_are_decoded_from_in_bf16_and_come_back_bit_for_bit(
    random_policy: Path, kind: str
) -> None:
    make = load_model if kind == "whole" else adapted
    trainer, untouched = stepped(make(random_policy)), stepped(make(random_policy))
    before, masters = weights(trainer.model), [p.data_ptr() for p in trainer.model.parameters()]
    with torch.no_grad(), decoding(trainer) as model:
        assert model is trainer.model
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
        assert {b.dtype for b in model.buffers()} == {torch.float32}
        out = model(torch.arange(1, 9)[None], use_cache=True)
    assert out.logits.dtype == torch.bfloat16
    for layer in out.past_key_values.layers:
        assert layer.keys.dtype == layer.values.dtype == torch.bfloat16
    assert [p.data_ptr() for p in trainer.model.parameters()] == masters  # type: ignore[union-attr]
    assert all(torch.equal(p, before[n]) for n, p in trainer.model.named_parameters())  # type: ignore[union-attr]
    for each in (trainer, untouched):
        each.step(naive.sequences(1), torch.linspace(-1, 1, 9))
    expected = weights(untouched.model)
    assert all(torch.equal(p, expected[n]) for n, p in trainer.model.named_parameters())  # type: ignore[union-attr]


def test_masters_come_back_after_an_error_too(random_policy: Path) -> None:
    trainer = stepped(load_model(random_policy))
    with pytest.raises(ValueError, match="on purpose"), decoding(trainer):
        raise ValueError("on purpose")
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}


def test_a_model_that_trains_in_fp32_decodes_as_it_is(random_policy: Path) -> None:
    trainer = naive.trainer(load_model(random_policy))
    with decoding(trainer) as model:
        assert model is trainer.model
        assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_gathered_model_turns_late_positions_as_the_model_in_training(
    random_policy: Path,
) -> None:
    """Its parameters are cast to bf16, the frequencies of its rotary embeddings are not."""
    gathered, own = load_model(random_policy), load_model(random_policy)
    trainer: Any = types.SimpleNamespace(
        model=own,
        whole_model=lambda dtype: gathered,
        scorer=types.SimpleNamespace(precision=torch.bfloat16, free=lambda: None),
        device=torch.device("cpu"),
    )
    with decoding(trainer) as model:
        assert model is gathered
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
        found = model.model.rotary_emb.inv_freq
    assert torch.equal(found, own.model.rotary_emb.inv_freq)
    trainer.whole_model = lambda dtype: None  # as of another rank
    with decoding(trainer) as model:
        assert model is None
