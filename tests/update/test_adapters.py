"""Adapters: merged weights compute the same, the rest is frozen, and a saved adapter comes back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from asymreinforce.config import LoraConfig
from asymreinforce.errors import ConfigError
from asymreinforce.model import adapters
from asymreinforce.model.checkpoint import load_model, save_model
from tests.fixtures import slow_trainer as naive


def adapted(checkpoint: Path, **settings: Any) -> Any:
    model = load_model(checkpoint).train()
    adapters.attach_adapters(model, LoraConfig(**{"rank": 4, **settings}), seed=0)
    return model


def trained(checkpoint: Path, **settings: Any) -> Any:
    model = adapted(checkpoint, **settings)
    batch = naive.sequences(0)
    trainer = naive.trainer(model, lr=0.1)
    for _ in range(3):
        trainer.step(batch, torch.linspace(-1, 1, 9))
    return model


def logps(model: Any) -> torch.Tensor:
    batch = naive.sequences(1)
    with torch.no_grad():
        return torch.cat([naive.token_logps(model, x, y) for x, y in zip(*batch, strict=True)])


def test_adapters_start_as_the_model_itself(random_policy: Path) -> None:
    torch.testing.assert_close(logps(adapted(random_policy)), logps(load_model(random_policy)))


def test_training_moves_adapters_alone(random_policy: Path) -> None:
    before, model = load_file(random_policy / "model.safetensors"), trained(random_policy)
    moved = [name for name, p in model.named_parameters() if p.requires_grad]
    assert moved
    assert all("lora_" in name for name in moved)
    for name, tensor in model.state_dict().items():
        if "lora_" not in name and name.replace("base_layer.", "") in before:
            assert torch.equal(tensor, before[name.replace("base_layer.", "")])


def test_the_gradient_of_an_adapter_is_that_of_the_weights_by_the_chain_rule(
    random_policy: Path,
) -> None:
    """W' = W + s B A, so dL/dB = s (dL/dW') A^T."""
    batch, coefficients_B = naive.sequences(0), torch.linspace(-1, 1, 9)
    whole, model = load_model(random_policy).train(), adapted(random_policy, alpha=4)
    naive.trainer(whole).step(batch, coefficients_B)
    layer = model.model.layers[0].self_attn.q_proj
    a_RD = layer.lora_A["default"].weight.detach().clone()
    naive.trainer(model).step(batch, coefficients_B)
    expected = whole.model.layers[0].self_attn.q_proj.weight.grad @ a_RD.T
    torch.testing.assert_close(layer.lora_B["default"].weight.grad, expected, rtol=1e-3, atol=1e-5)


def test_a_checkpoint_holds_merged_weights_that_compute_the_same(
    random_policy: Path, tmp_path: Path
) -> None:
    model = trained(random_policy)
    save_model(model, tmp_path / "saved", tokenizer_from=random_policy)
    stored = load_file(tmp_path / "saved" / "model.safetensors")
    assert set(stored) == set(load_file(random_policy / "model.safetensors"))
    found, wanted = logps(load_model(tmp_path / "saved")), logps(model)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert float((wanted - logps(load_model(random_policy))).abs().max()) > 0.1


def test_a_saved_adapter_comes_back_bit_for_bit(random_policy: Path, tmp_path: Path) -> None:
    model = trained(random_policy)
    save_model(model, tmp_path / "saved", tokenizer_from=random_policy)
    again = adapted(random_policy)
    adapters.restore_adapter(again, tmp_path / "saved" / adapters.ADAPTER)
    for (name, one), (_, other) in zip(
        model.named_parameters(), again.named_parameters(), strict=True
    ):
        assert torch.equal(one, other), name


def test_peft_itself_loads_the_adapter(random_policy: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    model = trained(random_policy)
    save_model(model, tmp_path / "saved", tokenizer_from=random_policy)
    loaded = PeftModel.from_pretrained(load_model(random_policy), tmp_path / "saved" / "adapter")
    torch.testing.assert_close(logps(loaded), logps(model), rtol=1e-5, atol=1e-5)


def test_the_start_of_an_adapter_is_its_seed_s_alone(random_policy: Path) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, other = adapted(random_policy), adapted(random_policy)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert np.array_equal(a.detach(), b.detach())


def test_layers_that_are_not_there_are_named(random_policy: Path) -> None:
    with pytest.raises(ConfigError, match="fits no layer of LlamaForCausalLM"):
        adapted(random_policy, target_modules=("c_attn",))


def test_a_saved_adapter_names_its_layers_in_one_order(random_policy: Path, tmp_path: Path) -> None:
    """peft holds them in a set, whose order changes with the process's hash seed."""
    adapters.save_adapter(adapted(random_policy), tmp_path / "adapter")
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert len(saved["target_modules"]) == 14
    assert saved["target_modules"] == sorted(saved["target_modules"])
