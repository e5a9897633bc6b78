"""Compiled layers: how often they are compiled, counted by a backend that runs them as they are."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend
from transformers import Qwen2Config, Qwen2ForCausalLM

from asymreinforce.config import EngineConfig, LoraConfig, PolicyConfig, SamplingConfig
from asymreinforce.engines.transformers_engine import TransformersEngine
from asymreinforce.model import adapters
from asymreinforce.update.layers import checkpoint_activations, compile_layers
from tests.fixtures import slow_trainer as naive
from tests.update.test_log_probs import made


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def plain() -> Any:
    return made(Qwen2Config, Qwen2ForCausalLM, num_hidden_layers=4).train()


def recomputing() -> Any:
    model = plain()
    checkpoint_activations(model)
    return model


def adapted() -> Any:
    model = plain()
    adapters.attach_adapters(model, LoraConfig(rank=4), seed=0)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at the start, which would leave A without a gradient
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    return model


def gradient(model: Any, seed: int) -> torch.Tensor:
    trainer = naive.trainer(model, lr=1e-12)
    trainer.step(naive.sequences(seed, longest=40), torch.linspace(-1, 1, 9))
    return torch.cat([p.grad.flatten() for p in trainer.parameters])


@pytest.mark.parametrize("make", [plain, recomputing, adapted])
def test_rows_of_any_length_are_compiled_once_and_have_the_gradient_of_the_layers_as_written(
    make: Callable[[], Any],
) -> None:
    counter = CompileCounterWithBackend("aot_eager")  # traces the backward pass as well
    model = make()
    compile_layers(model, backend=counter)
    counts = []
    for seed in range(4):
        found, wanted = gradient(model, seed), gradient(make(), seed)
        assert float((found - wanted).norm() / wanted.norm()) < 1e-6
        counts.append(counter.frame_count)
    assert 0 < counts[0] == counts[-1]


def test_scoring_and_decoding_run_the_layers_as_written() -> None:
    model, counter = plain(), CompileCounter()
    compile_layers(model, backend=counter)
    trainer = naive.trainer(model)
    with torch.no_grad():
        for row in trainer.rows(naive.sequences(1)):
            trainer.scorer.scores(row)
    engine = TransformersEngine(EngineConfig(name="transformers"), PolicyConfig())
    engine.use(model, end_tokens=(2,))
    engine.sample([[3, 4, 5]], SamplingConfig(samples_per_prompt=2, max_tokens=4), seed=0)
    assert counter.frame_count == 0
