"""The memory of training: formulas against the saved tensors of real models at true widths."""

import functools
from typing import Any

import pytest
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from asymreinforce.planning.shape import PUBLISHED, Shape, from_config
from asymreinforce.planning.training_memory import layer_bytes, training_memory
from tests.fixtures.saved_tensors import Counted, counted

RANK = 16
WORKSPACE = 10**9
QWEN3 = Shape(36, 2560, 9728, 32, 8, 128, 151936, tied=True, head_norms=True)
"""Qwen3-4B, by its `config.json`."""
SHAPES = {
    "qwen2.5-0.5b": PUBLISHED["Qwen/Qwen2.5-0.5B-Instruct"],
    "qwen2.5-1.5b": PUBLISHED["Qwen/Qwen2.5-1.5B-Instruct"],
    "qwen2.5-3b": PUBLISHED["Qwen/Qwen2.5-3B-Instruct"],
    "llama-3.1-8b": PUBLISHED["meta-llama/Llama-3.1-8B-Instruct"],
    "llama-3.2-3b": PUBLISHED["meta-llama/Llama-3.2-3B-Instruct"],
    "qwen3-4b": QWEN3,
}
WAYS: dict[str, dict[str, Any]] = {
    "bf16": {"half": True},
    "bf16, adapters": {"half": True, "lora_rank": RANK},
    "fp32": {"half": False},
    "fp32, adapters": {"half": False, "lora_rank": RANK},
}


def config_of(shape: Shape, layers: int) -> Any:
    """A transformers configuration of so many layers, with few words, which none of this sees."""
    kind = Qwen3Config if shape.head_norms else Qwen2Config if shape.biases else LlamaConfig
    config = kind(
        vocab_size=1024, hidden_size=shape.width, intermediate_size=shape.intermediate,
        num_hidden_layers=layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, head_dim=shape.head_width, tie_word_embeddings=True,
    )  # fmt: skip
    found = from_config(config.to_dict())
    assert found and found.layer == shape.layer
    return config


@functools.cache
def count(
    name: str, way: str, layers: int, *, recomputes: bool = False, samples: int = 1
) -> Counted:
    return counted(
        config_of(SHAPES[name], layers), **WAYS[way], recomputes=recomputes, samples=samples
    )


def of_a_layer(name: str, way: str, *, samples: int = 1) -> float:
    """Bytes of a token that one more layer keeps; the first one may keep less."""
    two, three = (count(name, way, layers, samples=samples) for layers in (2, 3))
    return three.by_token - two.by_token


def of_all_layers(name: str, way: str, *, recomputes: bool = False) -> Counted:
    two, three = (count(name, way, layers, recomputes=recomputes) for layers in (2, 3))
    more = SHAPES[name].layers - 2
    return Counted(*(a + more * (b - a) for a, b in zip(two, three, strict=True)))


CASES = [
    *((name, way) for name in SHAPES for way in ("bf16", "bf16, adapters")),
    *((name, way) for name in ("llama-3.1-8b", "qwen3-4b") for way in ("fp32", "fp32, adapters")),
]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_activations_and_copies_of_weights_are_within_a_tenth_of_the_saved_tensors(
    name: str, way: str
) -> None:
    wanted = of_all_layers(name, way)
    found = training_memory(SHAPES[name], tokens=1000, workspace=WORKSPACE, **WAYS[way])
    assert found.activations == pytest.approx(1000 * wanted.by_token, rel=0.1)
    assert found.autocast == pytest.approx(wanted.fixed, rel=0.1, abs=1000)
    # the layer itself exactly, but for the roots of the norms' means
    assert layer_bytes(SHAPES[name], **WAYS[way]) == pytest.approx(of_a_layer(name, way), rel=2e-3)


@pytest.mark.parametrize(("name", "way"), CASES)
def test_recomputed_layers_keep_their_input_and_one_layer_in_whole(name: str, way: str) -> None:
    shape, settings = SHAPES[name], WAYS[way]
    inputs = of_all_layers(name, way, recomputes=True)
    many = 100_000  # so that a layer's activations are more than copies of all weights
    found = training_memory(shape, tokens=many, workspace=1, recomputes=True, **settings)
    wanted = many * (inputs.by_token + of_a_layer(name, way))
    assert found.activations == pytest.approx(wanted, rel=0.1)
    assert inputs.fixed == pytest.approx(0, abs=1000)


@pytest.mark.parametrize("way", ["bf16", "fp32"])
def test_each_completion_of_a_prompt_repeats_its_keys(way: str) -> None:
    """A prompt and four completions, all of one length: four of five parts stand there again."""
    name = "llama-3.1-8b"
    found = layer_bytes(SHAPES[name], **WAYS[way], repeated=4 / 5)
    assert found == pytest.approx(of_a_layer(name, way, samples=4), rel=0.02)


@pytest.mark.parametrize(
    ("name", "way", "widths"),
    [
        ("qwen2.5-0.5b", "bf16", 74.1),
        ("qwen2.5-1.5b", "bf16", 77.3),
        ("qwen2.5-3b", "bf16", 73.5),
        ("llama-3.1-8b", "bf16", 59.0),
        ("llama-3.1-8b", "bf16, adapters", 53.1),
    ],
)
def test_a_layer_keeps_twice_of_what_was_assumed_before(name: str, way: str, widths: float) -> None:
    """Bytes by token and width; Korthikanti et al. (2022) count 34 for another kind of layer."""
    shape = SHAPES[name]
    assert layer_bytes(shape, **WAYS[way]) / shape.width == pytest.approx(widths, abs=0.1)


def test_the_state_is_16_bytes_a_trained_parameter_and_the_weights_of_the_others() -> None:
    shape = SHAPES["qwen2.5-0.5b"]
    n, adapters = shape.parameters, shape.adapter_parameters(RANK)
    common: dict[str, Any] = {"tokens": 1000, "workspace": WORKSPACE}
    full = training_memory(shape, half=True, **common)
    assert full[:3] == (4 * n, 4 * n, 8 * n)
    lora = training_memory(shape, half=True, lora_rank=RANK, **common)
    assert lora[:3] == (2 * n + 4 * adapters, 4 * adapters, 8 * adapters)
    assert lora.autocast == 2 * adapters
    exact = training_memory(shape, half=False, **common)
    assert exact.autocast == 0
    shards = training_memory(shape, half=True, ranks=4, is_sharded=True, **common)
    assert shards[:3] == (n, n, 2 * n)
    assert shards.gathered == 2 * shape.layer + 8 * (shape.embeddings + shape.width)
    assert shards.autocast == 0


def test_the_head_holds_logits_of_a_chunk_and_its_weight_in_bf16() -> None:
    shape = SHAPES["qwen2.5-3b"]
    found = training_memory(shape, tokens=16_384, workspace=10**9, half=True)
    assert found.head == 4 * 10**9 + 2 * shape.vocabulary * 2048 + 3 * 2 * 16_384 * 2048
    few = training_memory(shape, tokens=100, workspace=10**9, half=False)
    assert few.head == 4 * 100 * shape.vocabulary + 3 * 4 * 100 * 2048
    assert found.total == sum(found)


def test_recomputing_peaks_where_copies_of_all_weights_or_one_layer_or_the_head_stand() -> None:
    shape = SHAPES["llama-3.1-8b"]
    short = training_memory(shape, tokens=1000, workspace=1, half=True, recomputes=True)
    assert short.autocast == 2 * 32 * shape.layer
    long = training_memory(shape, tokens=10**6, workspace=1, half=True, recomputes=True)
    assert long.autocast == 2 * shape.layer
    small = Shape(2, 64, 64, 2, 2, 32, 100_000, tied=False)
    head = training_memory(small, tokens=1000, workspace=1, half=True, recomputes=True)
    assert head.autocast == 0 and head.head > 2 * 100_000 * 64
