"""Compiled layers: how often they are compiled, counted by a backend that runs them as they are."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from transformers import Qwen2Config, Qwen2ForCausalLM

from asymreinforce.config import EngineConfig, PolicyConfig, SamplingConfig
from asymreinforce.engines.transformers_engine import TransformersEngine
from asymreinforce.policy.memory import compile_layers
from tests.policy import naive
from tests.policy.test_logps import made


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled() -> tuple[Any, CompileCounter]:
    counter = CompileCounter()
    model = made(Qwen2Config, Qwen2ForCausalLM, num_hidden_layers=4).train()
    compile_layers(model, backend=counter)
    return model, counter


def test_rows_of_any_length_are_compiled_once_and_have_the_gradient_of_the_layers_as_written() -> (
    None
):
    model, counter = compiled()
    terms_B = torch.linspace(-1, 1, 9, dtype=torch.float64)
    counts = []
    for seed in range(4):
        batch = naive.sequences(seed, longest=40)
        found = naive.gradient_of_step(model, batch, terms_B)
        counts.append(counter.frame_count)
        plain = made(Qwen2Config, Qwen2ForCausalLM, num_hidden_layers=4).train()
        wanted = naive.gradient_of_step(plain, batch, terms_B)
        assert float((found - wanted).norm() / wanted.norm()) < 1e-6
    assert 0 < counts[0] == counts[-1]


def test_scoring_and_decoding_run_the_layers_as_written() -> None:
    model, counter = compiled()
    trainer = naive.trainer(model)
    with torch.no_grad():
        for row in trainer.rows(naive.sequences(1)):
            trainer.scorer.scores(row)
    engine = TransformersEngine(EngineConfig(name="transformers"), PolicyConfig())
    engine.use(model, end_tokens=(2,))
    engine.sample([[3, 4, 5]], SamplingConfig(samples_per_prompt=2, max_tokens=4), seed=0)
    assert counter.frame_count == 0
