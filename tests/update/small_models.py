"""Small models of many architectures, with weights that tell tokens apart."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PhimoeConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

from asymreinforce.update.packing import Sequences
from tests.update import naive

SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
    "max_position_embeddings": 128,
}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
GPT2 = {"vocab_size": 300, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128}
OPT = {"ffn_dim": 24, "word_embed_proj_dim": 16, "dropout": 0.3}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}

ACCEPTED: dict[str, Any] = {
    "llama": LlamaConfig(**SMALL),
    "llama, tied": LlamaConfig(**SMALL, tie_word_embeddings=True),
    "llama, dropout of attention": LlamaConfig(**SMALL, attention_dropout=0.3),
    "qwen2": Qwen2Config(**SMALL),
    "qwen2, tied": Qwen2Config(**SMALL, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SMALL),
    "qwen3, experts": Qwen3MoeConfig(
        **SMALL, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8
    ),
    "mistral": MistralConfig(**SMALL, sliding_window=5),
    "mixtral": MixtralConfig(**SMALL, **EXPERTS),
    "mixtral, noise of the router": MixtralConfig(**SMALL, **EXPERTS, router_jitter_noise=0.5),
    "phimoe": PhimoeConfig(**SMALL, **EXPERTS, router_jitter_noise=0.5),
    "phi3": Phi3Config(**SMALL),
    "gemma": GemmaConfig(**SMALL),
    "olmo2": Olmo2Config(**SMALL),
    "gpt-neox": GPTNeoXConfig(**SMALL),
    "gpt2, dropout": GPT2Config(**GPT2),
    "opt, dropout": OPTConfig(**SMALL, **OPT),
}


def model_of(config: Any) -> Any:
    """A model with random weights that are large enough to tell tokens apart."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).train()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.5 * parameter.shape[-1] ** -0.5)
    return model


def saved_model(config: Any, directory: Path) -> Path:
    model_of(config).save_pretrained(directory)
    return directory


def own_logps(model: Any, batch: Sequences) -> np.ndarray:
    """log pi(y|x) of each sequence by the model's own forward, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return np.array(
            [float(naive.token_logps(model, x, y).sum()) for x, y in zip(*batch, strict=True)]
        )
