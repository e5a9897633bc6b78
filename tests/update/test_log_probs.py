"""Which models packed training reproduces, and that it does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from asymreinforce.errors import ConfigError
from asymreinforce.model.checkpoint import load_model
from asymreinforce.update.log_probs import Scorer
from asymreinforce.update.trainable import require_trainable
from tests.fixtures import slow_trainer as naive

SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def made(config: type, model: type, **more: Any) -> Any:
    torch.manual_seed(0)
    return model(config(**{**SMALL, **more}))


ADMITTED = {
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "llama with biases": (LlamaConfig, LlamaForCausalLM, {"attention_bias": True}),
    "qwen2, tied": (Qwen2Config, Qwen2ForCausalLM, {"tie_word_embeddings": True}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {}),
    "mistral, sliding window of 5": (MistralConfig, MistralForCausalLM, {"sliding_window": 5}),
    "qwen2, window in some layers": (
        Qwen2Config,
        Qwen2ForCausalLM,
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
}


@pytest.mark.parametrize("tokens", [1, 40, 1024])
@pytest.mark.parametrize("name", ADMITTED)
def test_the_gradient_equals_a_padded_fp64_reference_to_2e_6_in_fp32_and_1e_12_in_fp64(
    name: str, tokens: int
) -> None:
    config, architecture, more = ADMITTED[name]
    model = made(config, architecture, **more).train()  # type: ignore[arg-type]
    exact = naive.exact(model)
    batch = naive.sequences(5, groups=4, samples=3, longest=30)
    coefficients_B = torch.linspace(-1, 1, 12, dtype=torch.float64)
    expected = naive.policy_gradient(exact, batch, coefficients_B.tolist())
    for trained, bound in ((model, 2e-6), (exact, 1e-12)):
        found = naive.gradient_of_step(trained, batch, coefficients_B, tokens=tokens)
        assert float((found - expected).norm() / expected.norm()) < bound


def test_a_model_whose_logits_are_its_heads_is_taken(random_policy: Path) -> None:
    model = load_model(random_policy).train()
    require_trainable(Scorer(model))
    assert model.training


@pytest.mark.parametrize(
    ("config", "architecture", "more"),
    [
        (CohereConfig, CohereForCausalLM, {"logit_scale": 0.0625}),
        (Gemma2Config, Gemma2ForCausalLM, {"attn_logit_softcapping": None}),
    ],
)
def test_a_model_that_changes_its_logits_behind_the_head_is_refused(
    config: type, architecture: type, more: dict[str, Any]
) -> None:
    model = made(config, architecture, **more)
    with pytest.raises(ConfigError, match=f"{architecture.__name__} scales or caps its logits"):
        require_trainable(Scorer(model))


def test_a_model_with_a_soft_cap_in_its_attention_is_refused() -> None:
    with pytest.raises(ConfigError, match="uses dropout, a soft cap or sinks in its attention"):
        require_trainable(Scorer(made(Gemma2Config, Gemma2ForCausalLM)))


def test_dropout_of_attention_is_refused() -> None:
    model = made(LlamaConfig, LlamaForCausalLM, attention_dropout=0.1).train()
    with pytest.raises(ConfigError, match="set attention_dropout to 0"):
        require_trainable(Scorer(model))


def test_dropout_elsewhere_is_refused() -> None:
    model = made(LlamaConfig, LlamaForCausalLM)
    model.model.layers[0].mlp.act_fn = torch.nn.Dropout(0.5)
    with pytest.raises(ConfigError, match="draws random numbers"):
        require_trainable(Scorer(model.train()))


def test_generation_finds_its_own_attention_after_a_packed_pass() -> None:
    model = made(LlamaConfig, LlamaForCausalLM)
    before = model.config._attn_implementation
    require_trainable(Scorer(model))
    assert model.config._attn_implementation == before == "sdpa"
