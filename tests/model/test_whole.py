"""Checkpoints that are not whole are refused by whoever loads them, with the names at fault."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from asymreinforce.config import EngineConfig, LoraConfig, PolicyConfig
from asymreinforce.engines.transformers_engine import TransformersEngine
from asymreinforce.engines.vllm_engine import VllmEngine
from asymreinforce.errors import InputError
from asymreinforce.model import adapters
from asymreinforce.model.checkpoint import (
    empty_model,
    load_model,
    require_whole_checkpoint,
    save_model,
)
from tests.fixtures.checkpoints import write_random_policy

Weights = dict[str, torch.Tensor]
LAYER = "model.layers.1."


def edit_weights(checkpoint: Path, edit: Callable[[Weights], Weights]) -> None:
    path = checkpoint / "model.safetensors"
    save_file(edit(load_file(path)), path, metadata={"format": "pt"})


def edit_config(checkpoint: Path, **values: object) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def without_a_layer(checkpoint: Path) -> None:
    edit_weights(checkpoint, lambda w: {k: v for k, v in w.items() if not k.startswith(LAYER)})


def compiled(checkpoint: Path) -> None:
    edit_weights(checkpoint, lambda w: {f"_orig_mod.{k}": v for k, v in w.items()})


def with_a_value_head(checkpoint: Path) -> None:
    edit_weights(checkpoint, lambda w: {**w, "v_head.summary.weight": torch.zeros(1, 16)})


def without_a_head(checkpoint: Path) -> None:
    edit_weights(checkpoint, lambda w: {k: v for k, v in w.items() if k != "lm_head.weight"})


def tied_by_config_alone(checkpoint: Path) -> None:
    edit_config(checkpoint, tie_word_embeddings=True)


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a layer's tensors are absent": (
        without_a_layer,
        r"model\.layers\.1\.input_layernorm\.weight, model\.layers\.1\.mlp\.down_proj\.weight, "
        r"model\.layers\.1\.mlp\.gate_proj\.weight and 6 more missing",
    ),
    "names of a compiled model": (
        compiled,
        r"and 18 more missing; _orig_mod\.lm_head\.weight, .* unknown to the model",
    ),
    "fewer layers in the config": (
        lambda checkpoint: edit_config(checkpoint, num_hidden_layers=1),
        r"model\.layers\.1\.input_layernorm\.weight, .* and 6 more unknown to the model",
    ),
    "more layers in the config": (
        lambda checkpoint: edit_config(checkpoint, num_hidden_layers=3),
        r"model\.layers\.2\.input_layernorm\.weight, .* and 6 more missing",
    ),
    "another shape in the config": (
        lambda checkpoint: edit_config(checkpoint, intermediate_size=24),
        r"model\.layers\.0\.mlp\.down_proj\.weight \(16, 32\), not \(16, 24\), .* another shape",
    ),
    "a value head beside the model's": (
        with_a_value_head,
        r"v_head\.summary\.weight unknown to the model",
    ),
    "an untied model without its head": (without_a_head, r"lm_head\.weight missing"),
    "two weights that the config ties": (
        tied_by_config_alone,
        r"ties lm_head\.weight to model\.embed_tokens\.weight, but its weights hold two",
    ),
    "integers in place of weights": (
        lambda checkpoint: retyped(checkpoint, torch.int8),
        r"holds lm_head\.weight, .* and 18 more as I8, and config\.json has no quantization_config",
    ),
    "8-bit floats without their scales": (
        lambda checkpoint: retyped(checkpoint, torch.float8_e4m3fn),
        r"as F8_E4M3, and config\.json has no quantization_config",
    ),
    "a shard that its index lists is absent": (
        lambda checkpoint: without_a_shard(checkpoint),
        r"lacks model-00001-of-\d+\.safetensors, which model\.safetensors\.index\.json lists",
    ),
    "an index that is none": (
        lambda checkpoint: indexed(checkpoint, []),
        r"index\.json: holds no JSON object",
    ),
    "an index of files elsewhere": (
        lambda checkpoint: indexed(checkpoint, {"weight_map": {"a": "../other.safetensors"}}),
        r"index\.json: lists no files of this directory",
    ),
    "adapters that another checkpoint is the base of": (
        lambda checkpoint: with_adapters(checkpoint),
        r"holds adapters \(adapter_config\.json\).*merge them",
    ),
    "one file beside shards": (lambda checkpoint: twice(checkpoint), r"holds weights twice"),
}


def retyped(checkpoint: Path, dtype: torch.dtype) -> None:
    edit_weights(checkpoint, lambda w: {name: tensor.to(dtype) for name, tensor in w.items()})


def without_a_shard(checkpoint: Path) -> None:
    in_shards(checkpoint)
    next(checkpoint.glob("model-00001-*")).unlink()


def indexed(checkpoint: Path, index: Any) -> None:
    in_shards(checkpoint)
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))


def with_adapters(checkpoint: Path) -> None:
    """transformers would load the base that their config names, and pass over these weights."""
    base = {"peft_type": "LORA", "base_model_name_or_path": "elsewhere"}
    (checkpoint / "adapter_config.json").write_text(json.dumps(base))


def twice(checkpoint: Path) -> None:
    load_model(checkpoint).save_pretrained(checkpoint, max_shard_size="20KB")


LOADERS: dict[str, Callable[[Path], Any]] = {
    "the trainer": load_model,
    "the headers of its files": require_whole_checkpoint,
    "a rank that is sent its weights": lambda path: empty_model(path, dtype=torch.float32),
    "engine=transformers": lambda path: TransformersEngine(
        EngineConfig(name="transformers"), PolicyConfig(source=str(path), context=64)
    ).load(path),
    "engine=vllm": lambda path: VllmEngine(
        EngineConfig(name="vllm"),
        PolicyConfig(source=str(path), context=64),
        log=path / "engine.log",
    ).load(path),
}


@pytest.fixture
def copy(random_policy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_policy, tmp_path / "copy"))


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_checkpoint_that_is_not_whole_is_refused_with_the_names_at_fault(
    copy: Path, kind: str, loader: str
) -> None:
    break_it, message = BROKEN[kind]
    break_it(copy)
    with pytest.raises(InputError, match=f"{re.escape(str(copy))}.*{message}"):
        LOADERS[loader](copy)


def ignored_by_its_class(checkpoint: Path) -> None:
    """Rotary frequencies were stored once, for each layer."""
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_weights(checkpoint, lambda w: {**w, name: torch.ones(4)})


def tied(checkpoint: Path, *, stored_twice: bool) -> None:
    write_random_policy(checkpoint, seed=0, tied=True)
    if stored_twice:
        head = "lm_head.weight"
        edit_weights(checkpoint, lambda w: {**w, head: w["model.embed_tokens.weight"].clone()})


def in_shards(checkpoint: Path) -> None:
    twice(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    assert len(list(checkpoint.glob("model-*.safetensors"))) > 1


WHOLE: dict[str, Callable[[Path], Any]] = {
    "as it was saved": lambda checkpoint: None,
    "frequencies of an old version": ignored_by_its_class,
    "a tied head": lambda checkpoint: tied(checkpoint, stored_twice=False),
    "a tied head, stored twice": lambda checkpoint: tied(checkpoint, stored_twice=True),
    "in shards": in_shards,
    "in 64 bits": lambda checkpoint: retyped(checkpoint, torch.float64),
    "a mask beside its weights": lambda checkpoint: edit_weights(
        checkpoint,
        lambda w: {**w, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4).bool()},
    ),
}


@pytest.mark.parametrize("loader", [name for name in LOADERS if "vllm" not in name])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_checkpoint_loads(copy: Path, kind: str, loader: str) -> None:
    WHOLE[kind](copy)
    LOADERS[loader](copy)


def test_pickled_weights_are_checked_as_well(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(weights, copy / "pytorch_model.bin")
    require_whole_checkpoint(copy)
    torch.save({k: v for k, v in weights.items() if "lm_head" not in k}, copy / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"lm_head\.weight missing"):
        require_whole_checkpoint(copy)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda w: dict(list(w.items())[1:]), r"\.lora_A\.weight missing"),
        (lambda w: {**w, "base_model.model.x.lora_A.weight": torch.ones(1)}, r"x\.lora_A\.weight"),
        (lambda w: {k: v[:1] for k, v in w.items()}, r"\(1, 16\), not \(4, 16\)"),
    ],
)
def test_a_saved_adapter_that_is_not_whole_is_refused(
    random_policy: Path, tmp_path: Path, edit: Callable[[Weights], Weights], message: str
) -> None:
    model = load_model(random_policy)
    adapters.attach_adapters(model, LoraConfig(rank=4), seed=0)
    save_model(model, tmp_path / "saved", tokenizer_from=random_policy)
    adapter = tmp_path / "saved" / adapters.ADAPTER
    adapters.restore_adapter(model, adapter)
    path = adapter / "adapter_model.safetensors"
    save_file(edit(load_file(path)), path)
    with pytest.raises(InputError, match=message):
        adapters.restore_adapter(model, adapter)


INVALID = b'{"do_sample": false, "temperature": 0.6, "eos_token_id": [0, 17]}\n'
"""transformers warns of it where it loads it, and refuses to save it."""


def test_a_generation_config_goes_on_as_it_is_whatever_its_library_says(
    copy: Path, tmp_path: Path
) -> None:
    (copy / "generation_config.json").write_bytes(INVALID)
    model = load_model(copy)
    before = model.generation_config
    save_model(model, tmp_path / "saved", tokenizer_from=copy)
    assert (tmp_path / "saved/generation_config.json").read_bytes() == INVALID
    assert model.generation_config is before
    (copy / "generation_config.json").unlink()
    save_model(model, tmp_path / "again", tokenizer_from=copy)
    assert not (tmp_path / "again/generation_config.json").exists()
