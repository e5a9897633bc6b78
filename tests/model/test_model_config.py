"""What is read off flat and nested configurations, of a checkpoint and of a model in memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config import PolicyConfig
from asymreinforce.errors import InputError
from asymreinforce.model import model_config
from asymreinforce.model.checkpoint import context_of
from asymreinforce.model.model_config import Decoder, declared_end_tokens, of_checkpoint, of_model
from asymreinforce.planning.shape import from_config, shape_of

LLAMA_3 = {
    "model_type": "llama",
    "vocab_size": 128_256,
    "max_position_embeddings": 131_072,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "eos_token_id": [128_001, 128_008, 128_009],
}
QWEN_2_5_VL = {
    "model_type": "qwen2_5_vl",
    "eos_token_id": 151_645,
    "text_config": {
        "model_type": "qwen2_5_vl_text",
        "vocab_size": 151_936,
        "max_position_embeddings": 128_000,
        "hidden_size": 2048,
        "intermediate_size": 11_008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "eos_token_id": 151_643,
    },
    "vision_config": {"depth": 2, "hidden_size": 1280},
}
GEMMA_3 = {  # states neither its vocabulary nor its context: they are the defaults of its class
    "model_type": "gemma3",
    "eos_token_id": [1, 106],
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10_240,
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    },
    "vision_config": {"hidden_size": 1152},
}
GPT_2 = {"model_type": "gpt2", "vocab_size": 50_257, "n_positions": 77, "n_embd": 48, "n_head": 4}
UNHEARD_OF = {
    "model_type": "unheard_of",
    "auto_map": {"AutoConfig": "own.OwnConfig"},
    "text_config": {"vocab_size": 99, "max_position_embeddings": 12, "eos_token_id": 7},
}


def checkpoint(directory: Path, config: dict[str, Any], **files: Any) -> Path:
    """A directory with a `config.json` alone."""
    directory.mkdir(exist_ok=True)
    for name, values in {"config": config, **files}.items():
        (directory / f"{name}.json").write_text(json.dumps(values))
    return directory


@pytest.mark.parametrize(
    ("config", "vocabulary", "context", "decoder"),
    [
        pytest.param(LLAMA_3, 128_256, 131_072, Decoder(32, 4096, 14_336, 32, 8, 128), id="flat"),
        pytest.param(
            QWEN_2_5_VL, 151_936, 128_000, Decoder(36, 2048, 11_008, 16, 2, 128), id="nested"
        ),
        pytest.param(
            GEMMA_3, 262_208, 131_072, Decoder(34, 2560, 10_240, 8, 4, 256), id="defaults"
        ),
        pytest.param(GPT_2, 50_257, 77, Decoder(12, 48, 192, 4, 4, 12), id="names of its own"),
        pytest.param(UNHEARD_OF, 99, 12, None, id="of code that is not read"),
    ],
)
def test_a_configuration_says_what_the_model_knows_flat_or_nested(
    config: dict[str, Any], vocabulary: int, context: int, decoder: Decoder, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "model", config)
    assert of_checkpoint(path)[:3] == (vocabulary, context, decoder)
    assert context_of(path) == context


def test_a_model_in_memory_says_the_same_as_its_checkpoint(tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    for config in (LLAMA_3, GEMMA_3):
        path = checkpoint(tmp_path / str(config["model_type"]), config)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))
        assert of_model(model) == of_checkpoint(path)
        assert model_config.vocabulary_of(model) == of_checkpoint(path).vocabulary


def test_end_tokens_are_those_that_the_files_name_and_no_default_of_a_class(
    tmp_path: Path,
) -> None:
    path = checkpoint(tmp_path / "model", QWEN_2_5_VL)
    assert declared_end_tokens(path) == [151_645, 151_643]
    checkpoint(path, GEMMA_3, generation_config={"eos_token_id": [106, 5]})
    assert declared_end_tokens(path) == [106, 5, 1]
    unsaid = {name: value for name, value in LLAMA_3.items() if name != "eos_token_id"}
    checkpoint(path, unsaid, generation_config={})
    assert declared_end_tokens(path) == []


@pytest.mark.parametrize("declared", ["<|im_end|>", -1, 1.5, True, [[1], 2], {"id": 1}, [None]])
def test_an_end_token_that_is_no_token_id_is_refused_with_its_file(
    tmp_path: Path, declared: Any
) -> None:
    ends = {"eos_token_id": declared}
    path = checkpoint(tmp_path / "model", LLAMA_3, generation_config=ends)
    with pytest.raises(
        InputError, match=r"generation_config\.json: eos_token_id is .*, not a token"
    ):
        declared_end_tokens(path)


@pytest.mark.parametrize("text", ["[1]", "{", "\xff", '"a"', "[" * 100_000])
def test_a_file_of_a_checkpoint_that_holds_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = checkpoint(tmp_path / "model", LLAMA_3)
    (path / "config.json").write_text(text, encoding="latin-1")
    for read in (
        of_checkpoint,
        declared_end_tokens,
        lambda p: shape_of(PolicyConfig(source=str(p))),
    ):
        with pytest.raises(InputError, match=r"config\.json: .*restore it"):
            read(path)


def test_the_largest_of_layers_that_differ_is_counted(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}
    path = checkpoint(tmp_path / "model", config | {"intermediate_size": [96, 128]})
    assert of_checkpoint(path).decoder == Decoder(2, 64, 128, 4, 4, 16)


def test_values_that_transformers_refuses_are_an_error_that_names_the_file(
    tmp_path: Path,
) -> None:
    path = checkpoint(tmp_path / "model", LLAMA_3 | {"vocab_size": "many"})
    with pytest.raises(InputError, match=r"config\.json: transformers does not take it.*vocab"):
        of_checkpoint(path)


def test_the_language_model_of_a_multimodal_checkpoint_is_counted_by_its_own_settings() -> None:
    nested = {"model_type": "llava", "text_config": LLAMA_3, "tie_word_embeddings": False}
    assert from_config(nested) == from_config(LLAMA_3)
