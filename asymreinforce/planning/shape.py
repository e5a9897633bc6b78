"""Read the sizes of a model from its `config.json`, and count its parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.config import EmbeddedConfig, PolicyConfig
from asymreinforce.model.model_config import read_object, text_part

KNOWN_KINDS = {"llama", "mistral", "qwen2", "qwen3"}


class Shape(NamedTuple):
    """The sizes of a decoder with grouped-query attention and gated feed-forward layers."""

    layers: int
    width: int
    intermediate: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    tied: bool
    """Whether the head shares the weights of the embedding."""
    biases: bool = False
    """Whether queries, keys and values have biases (Qwen2)."""
    head_norms: bool = False
    """Whether queries and keys have norms (Qwen3)."""

    @property
    def parameters(self) -> int:
        """The number of parameters of the whole model."""
        return self.embeddings + self.layers * self.layer + self.width

    @property
    def query(self) -> int:
        """The total width of a token's queries."""
        return self.heads * self.head_width

    @property
    def key(self) -> int:
        """The total width of a token's keys."""
        return self.kv_heads * self.head_width

    @property
    def layer(self) -> int:
        """The number of parameters of a decoder layer: projections, norms and biases."""
        ends = 2 * self.query + 2 * self.key + 3 * self.intermediate
        biases = (self.query + 2 * self.key) * self.biases
        return self.width * (ends + 2) + biases + 2 * self.head_width * self.head_norms

    @property
    def embeddings(self) -> int:
        """The number of parameters of the embedding and the head."""
        return self.vocabulary * self.width * (1 if self.tied else 2)

    def adapter_parameters(self, rank: int) -> int:
        """The number of parameters of LoRA on every linear layer: rank (in + out) each."""
        ends = [self.query, self.key, self.key, self.query, *3 * [self.intermediate]]
        return self.layers * sum(rank * (self.width + end) for end in ends)

    @property
    def cached_numbers(self) -> int:
        """The count of numbers (keys and values) that a token adds to the cache."""
        return 2 * self.layers * self.key


PUBLISHED = {
    "meta-llama/Llama-3.1-8B-Instruct": Shape(32, 4096, 14336, 32, 8, 128, 128256, tied=False),
    "meta-llama/Llama-3.2-3B-Instruct": Shape(28, 3072, 8192, 24, 8, 128, 128256, tied=True),
    "Qwen/Qwen2.5-3B-Instruct": Shape(36, 2048, 11008, 16, 2, 128, 151936, tied=True, biases=True),
    "Qwen/Qwen2.5-1.5B-Instruct": Shape(28, 1536, 8960, 12, 2, 128, 151936, tied=True, biases=True),
    "Qwen/Qwen2.5-0.5B-Instruct": Shape(24, 896, 4864, 14, 2, 64, 151936, tied=True, biases=True),
    "Qwen/Qwen3-0.6B": Shape(28, 1024, 3072, 16, 8, 128, 151936, tied=True, head_norms=True),
}
"""The sizes of the presets' models, from their `config.json`, so that a plan needs no network."""


def shape_of(policy: PolicyConfig) -> Shape | None:
    """Return a policy's sizes by its settings, a local `config.json` or `PUBLISHED`; else None."""
    if policy.source == "embedded":
        return _embedded_shape(policy.embedded)
    local = Path(policy.source) / "config.json"
    if local.exists():
        return from_config(read_object(local))
    return PUBLISHED.get(policy.source)


def from_config(config: Mapping[str, Any]) -> Shape | None:
    """Read the sizes from a `config.json`; None if the architecture is not in `KNOWN_KINDS`.

    For a multimodal model, only the language model is counted.
    """
    # a multimodal config has this flag outside of or inside its text part
    tied = bool(config.get("tie_word_embeddings", False))
    config = text_part(config)
    kind = config.get("model_type")
    if kind not in KNOWN_KINDS:
        return None
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    return Shape(
        layers=int(config["num_hidden_layers"]),
        width=width,
        intermediate=int(config["intermediate_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_width=int(config.get("head_dim") or width // heads),
        vocabulary=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", tied)),
        biases=kind == "qwen2" or bool(config.get("attention_bias")),
        head_norms=kind == "qwen3",
    )


def _embedded_shape(config: EmbeddedConfig) -> Shape:
    heads = config.heads
    width = config.width // heads
    return Shape(
        config.layers, config.width, config.intermediate, heads, heads, width,
        config.vocabulary, tied=False,
    )  # fmt: skip
