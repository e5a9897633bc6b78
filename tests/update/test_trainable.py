"""What training refuses before it begins, and that a checkpoint holds what was trained."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    Gemma3Config,
    Llama4TextConfig,
    LlamaConfig,
    MptConfig,
    Qwen3Config,
)

from asymreinforce.config import LoraConfig
from asymreinforce.errors import ConfigError
from asymreinforce.model import adapters
from asymreinforce.model.checkpoint import load_model, save_model
from asymreinforce.update.layers import checkpoint_activations
from asymreinforce.update.log_probs import Scorer
from asymreinforce.update.trainable import (
    require_gradients,
    require_trainable,
    require_trainable_checkpoint,
    small_model,
)
from asymreinforce.update.trainer import Trainer
from tests.fixtures import slow_trainer as naive
from tests.fixtures.experiments import small_config
from tests.fixtures.small_models import (
    ACCEPTED,
    SMALL,
    VISION,
    model_of,
    own_logps,
    saved_model,
)


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("name", ACCEPTED)
def test_a_step_s_log_probabilities_are_those_of_the_model_without_noise(
    name: str, recomputed: bool
) -> None:
    model = model_of(ACCEPTED[name])
    batch = naive.sequences(0)
    expected = own_logps(model, batch)
    if recomputed:
        checkpoint_activations(model.train())
    trainer = naive.trainer(model.train())
    if recomputed and name == "opt, dropout":  # a layer that recomputes draws its own dropout
        with pytest.raises(ConfigError, match="draws random numbers"):
            require_trainable(trainer.scorer)
        return
    require_trainable(trainer.scorer)
    require_gradients(trainer)
    before = torch.get_rng_state()
    found = trainer.step(batch, torch.linspace(-1, 1, 9) + 0.01).logps_B
    assert np.abs(found - expected).max() < 1e-3
    assert torch.equal(torch.get_rng_state(), before)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint / "model.safetensors")


def trained(checkpoint: Path, directory: Path, lora: LoraConfig | None) -> set[str]:
    """Train a checkpoint for two steps and save it; return the names of what trained."""
    model = load_model(checkpoint)
    if lora:
        adapters.attach_adapters(model, lora, seed=0)
    trainer = naive.trainer(model, lr=0.05)
    require_trainable(trainer.scorer)
    require_gradients(trainer)
    for seed in range(2):
        trainer.step(naive.sequences(seed), torch.linspace(-1, 1, 9) + 0.01)
    save_model(model, directory, tokenizer_from=checkpoint)
    reloaded, batch = load_model(directory), naive.sequences(2)
    np.testing.assert_allclose(own_logps(reloaded, batch), own_logps(model, batch), atol=2e-3)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    return {re.sub(r"\.lora_.*", ".weight", name) for name in names}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_checkpoint_holds_every_weight_that_trained_and_loads_as_the_same_model(
    name: str, tmp_path: Path
) -> None:
    start = saved_model(ACCEPTED[name], tmp_path / "start")
    names = trained(start, tmp_path / "saved", None)
    loaded = [dict(load_model(path).named_parameters()) for path in (start, tmp_path / "saved")]
    before, after = loaded
    assert set(weights(start)) == set(weights(tmp_path / "saved"))
    assert names == set(before) == set(after)
    assert [n for n in names if torch.equal(before[n], after[n])] == []


TARGETS: dict[str, tuple[str, str | tuple[str, ...]]] = {
    "every linear layer": ("llama", "all-linear"),
    "every linear layer, tied": ("qwen2, tied", "all-linear"),
    "two of attention": ("qwen3", ("q_proj", "v_proj")),
    "a pattern": ("mistral", r".*\.1\.mlp\.(up|down)_proj"),
    "layers with biases": ("qwen2", ("k_proj", "o_proj")),
    "attention beside experts": ("mixtral", ("q_proj", "o_proj")),
    "transposed layers": ("gpt2, dropout", ("c_attn", "c_fc")),
    "every layer, transposed": ("gpt2, dropout", "all-linear"),
    "an untied embedding": ("llama", ("embed_tokens", "q_proj")),
    "fused layers": ("phi3", ("qkv_proj", "gate_up_proj")),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_a_checkpoint_holds_every_adapted_weight_moved_and_all_others_as_they_were(
    kind: str, tmp_path: Path
) -> None:
    name, targets = TARGETS[kind]
    start = saved_model(ACCEPTED[name], tmp_path / "start")
    names = trained(start, tmp_path / "saved", LoraConfig(rank=2, target_modules=targets))
    before, after = weights(start), weights(tmp_path / "saved")
    assert set(before) == set(after)
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert moved == names


SHARED = ", whose weight the embedding shares, "


@pytest.mark.parametrize(
    ("name", "targets", "adapted"),
    [
        ("llama", ("q_proj", "lm_head"), " (lm_head)"),
        ("llama", ("lm_head",), " (lm_head)"),
        ("qwen2, tied", ("lm_head",), SHARED + "(lm_head)"),
        (
            "qwen2, tied",
            ("embed_tokens",),
            SHARED + "(model.embed_tokens)",
        ),
        (
            "gpt2, dropout",
            ("wte", "c_attn"),
            SHARED + "(transformer.wte)",
        ),
    ],
)
def test_an_adapted_head_is_refused(name: str, targets: Sequence[str], adapted: str) -> None:
    model = model_of(ACCEPTED[name])
    with pytest.raises(ConfigError, match=rf"adapts the language-model head{re.escape(adapted)}"):
        adapters.attach_adapters(model, LoraConfig(rank=2, target_modules=tuple(targets)), seed=0)


def test_a_weight_that_text_never_reaches_is_refused() -> None:
    """The optimizer's weight decay would shrink a tower that reads pictures."""
    config = Gemma3Config(text_config=SMALL, vision_config=VISION, mm_tokens_per_image=1)
    with pytest.raises(ConfigError, match=r"never reaches \S*vision_tower\S*, .* more; train"):
        require_gradients(naive.trainer(model_of(config)))


def test_asking_for_gradients_leaves_no_trace() -> None:
    trainers = [naive.trainer(model_of(ACCEPTED["llama"])) for _ in range(2)]
    require_gradients(trainers[0])
    for trainer in trainers:
        trainer.step(naive.sequences(0), torch.linspace(-1, 1, 9))
    one, other = (list(trainer.model.parameters()) for trainer in trainers)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Random(torch.nn.Module):
    """Noise that no mode turns off, too small for one comparison to tell."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (1 + 2e-4 * torch.randn_like(x))


def test_small_noise_in_evaluation_mode_is_found_by_asking_twice() -> None:
    model = model_of(ACCEPTED["llama"]).eval()
    model.model.layers[0].mlp.act_fn = Random()
    with pytest.raises(ConfigError, match="draws random numbers"):
        require_trainable(Scorer(model))


def test_a_difference_beyond_the_first_tokens_is_found() -> None:
    """A window that a layer keeps to itself shows only in sequences that are longer than it."""
    model = model_of(LlamaConfig(**SMALL)).eval()
    attention = model.model.layers[0].self_attn
    own = attention.forward

    def forgetful(*arguments: Any, **more: Any) -> Any:
        out_1TD, rest = own(*arguments, **more)
        return out_1TD * (torch.arange(out_1TD.shape[1]) < 40)[None, :, None], rest

    attention.forward = forgetful
    with pytest.raises(ConfigError, match="attends in a way of its own"):
        require_trainable(Scorer(model))


REFUSED: dict[str, tuple[Any, str]] = {
    "mpt": (MptConfig(d_model=16, n_layers=2, n_heads=2, vocab_size=300), "does not run in packed"),
    "llama 4": (
        Llama4TextConfig(**SMALL, num_local_experts=2, intermediate_size_mlp=24),
        "does not run in packed",
    ),
    "gemma 3 with pictures": (
        Gemma3Config(text_config=SMALL, vision_config=VISION, mm_tokens_per_image=1),
        "never reaches",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_config_alone_tells_that_its_architecture_is_refused(name: str, tmp_path: Path) -> None:
    config, message = REFUSED[name]
    config.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=message):
        require_trainable_checkpoint(tmp_path, small_config(tmp_path, policy=tmp_path))


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_config_alone_tells_that_its_architecture_is_taken(name: str, tmp_path: Path) -> None:
    ACCEPTED[name].save_pretrained(tmp_path)
    before = torch.get_rng_state()
    require_trainable_checkpoint(tmp_path, small_config(tmp_path, policy=tmp_path))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_config_tells_that_adapters_on_the_head_are_refused(tmp_path: Path) -> None:
    ACCEPTED["llama"].save_pretrained(tmp_path)
    settings = {"train__lora": {"rank": 2, "target_modules": ["q_proj", "lm_head"]}}
    with pytest.raises(ConfigError, match="adapts the language-model head"):
        require_trainable_checkpoint(tmp_path, small_config(tmp_path, policy=tmp_path, **settings))


@pytest.mark.parametrize("targets", ["([", ["nope"], "nothing_like_it"])
def test_targets_that_fit_no_layer_are_refused(targets: Any, tmp_path: Path) -> None:
    ACCEPTED["llama"].save_pretrained(tmp_path)
    settings = {"train__lora": {"rank": 2, "target_modules": targets}}
    with pytest.raises(ConfigError, match=r"fits no layer of LlamaForCausalLM \(.*'all-linear'"):
        require_trainable_checkpoint(tmp_path, small_config(tmp_path, policy=tmp_path, **settings))


def test_one_layer_of_each_kind_is_asked(tmp_path: Path) -> None:
    """The first layer of the second kind is the last but one of 12."""
    kinds = 10 * ["full_attention"] + 2 * ["sliding_attention"]
    config = Qwen3Config(**{**SMALL, "num_hidden_layers": 12}, layer_types=kinds, sliding_window=6)
    config.save_pretrained(tmp_path)
    small = small_model(tmp_path, trust_remote_code=False).config
    assert (small.num_hidden_layers, small.layer_types) == (11, kinds[:11])
    assert json.loads((tmp_path / "config.json").read_text())["num_hidden_layers"] == 12


def test_a_trainer_leaves_only_recomputing_layers_in_training_mode() -> None:
    model = model_of(ACCEPTED["llama"])
    checkpoint_activations(model)
    Trainer(model.train(), small_config(Path("runs"), policy="p").optim)
    assert [name for name, module in model.named_modules() if module.training] == [
        "model.layers.0",
        "model.layers.1",
    ]
