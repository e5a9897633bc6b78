"""Parameter counts from the sizes of a model, against models that are built."""

from pathlib import Path

import pytest

from asymreinforce.config import PolicyConfig
from asymreinforce.data import files
from asymreinforce.planning.shape import PUBLISHED, from_config, shape_of
from tests.fixtures import toy_chat
from tests.fixtures.checkpoints import write_random_policy


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("meta-llama/Llama-3.2-3B-Instruct", 3_212_749_824),
        ("Qwen/Qwen2.5-3B-Instruct", 3_085_938_688),
        ("Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304),
        ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768),
    ],
)
def test_the_presets_models_have_the_parameters_that_are_published(
    model: str, parameters: int
) -> None:
    assert PUBLISHED[model].parameters == parameters


@pytest.mark.parametrize("tied", [False, True])
def test_a_llama_is_counted_as_it_is_built(tied: bool, tmp_path: Path) -> None:
    from asymreinforce.model.checkpoint import load_model

    path = write_random_policy(tmp_path / "llama", seed=0, tied=tied)
    found = shape_of(PolicyConfig(source=str(path)))
    assert found and found.parameters == load_model(path).num_parameters()


def test_a_qwen2_with_its_biases_is_counted_as_it_is_built(tmp_path: Path) -> None:
    from asymreinforce.model.checkpoint import load_model

    path = toy_chat.checkpoint(tmp_path / "qwen2")
    found = shape_of(PolicyConfig(source=str(path)))
    assert found and found.parameters == load_model(path).num_parameters()


def test_a_qwen3_with_its_head_norms_is_counted_as_it_is_built(tmp_path: Path) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    model.save_pretrained(tmp_path)
    found = from_config(files.read_json(tmp_path / "config.json"))
    assert found and found.parameters == model.num_parameters()
    assert found.cached_numbers == 2 * 3 * 2 * 8


def test_the_embedded_policy_is_counted() -> None:
    found = shape_of(PolicyConfig())
    assert found and found.parameters == pytest.approx(268_000, abs=2_000)


def test_another_architecture_is_unknown() -> None:
    assert from_config({"model_type": "mixtral"}) is None
    assert shape_of(PolicyConfig(source="owner/unheard-of")) is None
