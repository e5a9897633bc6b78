"""Make tiny models, batches and objectives that are equal in every process and on every device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from asymreinforce.algorithm.ratio import opmd_kimi
from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.update.layers import checkpoint_activations
from asymreinforce.update.packing import Sequences
from asymreinforce.update.trainer import RatioInputs

TINY: dict[str, Any] = {
    "vocab_size": 500,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
KINDS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**TINY)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**TINY, tie_word_embeddings=True)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**TINY, head_dim=32)),
}
GROUPS, SAMPLES = 6, 4


def model_of(kind: str) -> Any:
    """Make a tiny model on CPU, in fp32, from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return KINDS[kind]().train()


def adapted(model: Any) -> Any:
    """Round the weights to bf16, as frozen weights are stored, and add adapters that are not 0."""
    from asymreinforce.model import adapters

    class Config:
        rank, alpha, target_modules = 8, 16, "all-linear"

    adapters.attach_adapters(model.to(torch.bfloat16).float(), Config(), seed=0)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    return model


def batch_of(seed: int = 0, *, shortest: int = 2, longest: int = 90) -> Sequences:
    """Return groups of completions of one to `longest` tokens."""
    generator = np.random.default_rng(seed)
    prompts = [generator.integers(2, 500, generator.integers(3, 40)) for _ in range(GROUPS)]
    lengths = generator.integers(shortest, longest, GROUPS * SAMPLES)
    lengths[0] = 1
    return Sequences(
        [prompt for prompt in prompts for _ in range(SAMPLES)],
        [generator.integers(1, 500, length) for length in lengths],
    )


def linear_terms() -> Tensor:
    """Return coefficients; a third are zero, so that sequences are skipped."""
    terms_B = torch.linspace(-1, 1, GROUPS * SAMPLES, dtype=torch.float64)
    terms_B[::3] = 0
    return terms_B


def ratio_inputs() -> RatioInputs:
    """Return an objective with a smooth loss in log pi, so that rounding flips no clip."""
    completions = batch_of().completions
    count = len(completions)
    behaviour = [np.full(len(y), -6.2) for y in completions]
    return RatioInputs(_ratio_loss, torch.linspace(-1, 1, count), torch.ones(count), behaviour)


def _ratio_loss(tokens: TokenLogps, weights_B: Tensor) -> Tensor:
    return (opmd_kimi(tokens, tau=0.1) * weights_B).sum()


def recomputing(model: Any) -> Any:
    """Make a model recompute its activations in the backward pass."""
    checkpoint_activations(model)
    return model


def frozen_in_bf16(model: Any) -> Any:
    """Store frozen parameters in bf16, as training with adapters does."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    return model
