"""Low-rank adapters, LoRA (Hu et al. 2021, arXiv 2106.09685), put into a model by peft.

    W' = W + (alpha / rank) B A        W frozen, A and B trained, B = 0 at the start

A checkpoint holds the merged weights W', which every engine loads, and the adapter alone in
`adapter/`, from which training resumes and which vLLM loads as a LoRA.
"""

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from asymreinforce.errors import ConfigError
from asymreinforce.model.whole import require_same

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from asymreinforce.config import LoraConfig

ADAPTER = "adapter"


def attach_adapters(model: "PreTrainedModel", config: "LoraConfig", *, seed: int) -> None:
    """Freeze a model's weights and put fp32 adapters into its linear layers; `seed` draws A.

    Raises `ConfigError` if the model has none of the named layers, or if the head is among them.
    """
    import peft
    import torch

    assert config.rank is not None
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha if config.alpha is not None else 2 * config.rank,
        target_modules=(
            config.target_modules
            if isinstance(config.target_modules, str)
            else list(config.target_modules)
        ),
        task_type="CAUSAL_LM",
    )
    model.requires_grad_(False)
    try:
        devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
        with torch.random.fork_rng(devices=sorted(devices, key=str)):
            torch.manual_seed(seed)
            peft.inject_adapter_in_model(settings, model)
    except (ValueError, re.error) as error:  # `target_modules` may be an invalid pattern
        reason = str(error).split(". ")[0]
        raise ConfigError(
            f"train.lora.target_modules={config.target_modules!r} fits no layer of "
            f"{type(model).__name__} ({reason}); 'all-linear' takes every linear layer"
        ) from None
    _require_plain_head(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _require_plain_head(model: "PreTrainedModel", config: "LoraConfig") -> None:
    """Raise `ConfigError` for an adapter on the head, or on an embedding tied to the head."""
    # the packed head multiplies by W itself: an adapter on the head would train nothing, and an
    # adapter on a tied embedding would train another model
    head = _base_layer(model.get_output_embeddings()).weight
    is_tied = head is _base_layer(model.get_input_embeddings()).weight
    adapted = [
        name
        for name, module in model.named_modules()
        if hasattr(module, "lora_A") and getattr(_base_layer(module), "weight", None) is head
    ]
    if adapted:
        tied = ", whose weight the embedding shares," if is_tied else ""
        raise ConfigError(
            f"train.lora.target_modules={config.target_modules!r} adapts the language-model head"
            f"{tied} ({adapted[0]}), which training does not do; name layers of the body alone, or "
            "'all-linear', which leaves the head out"
        )


def _base_layer(module: Any) -> Any:
    """Return the layer under an adapter, or the layer itself if it has no adapter."""
    return getattr(module, "base_layer", module)


def attach_like(plain: "PreTrainedModel", model: "PreTrainedModel") -> None:
    """Put adapters into the layers of `plain` that have adapters in `model`."""
    import peft

    configs: Any = model.peft_config
    peft.inject_adapter_in_model(configs["default"], plain)


def is_attached(model: "PreTrainedModel") -> bool:
    """Return whether a model has adapters."""
    return getattr(model, "peft_config", None) is not None


def merged_weights(model: "PreTrainedModel") -> dict[str, Tensor]:
    """Return the weights with which a model without adapters computes the same."""
    # copies: merging in place could not be undone, W' - BA is not W in floating point
    adapted: dict[str, Any] = {
        f"{name}.": module for name, module in model.named_modules() if hasattr(module, "lora_A")
    }
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        owner = next((prefix for prefix in adapted if name.startswith(prefix)), None)
        if owner is None:
            weights[name] = tensor
        elif name == f"{owner}base_layer.weight":
            delta = adapted[owner].get_delta_weight("default")
            weights[f"{owner}weight"] = (tensor.float() + delta.float()).to(tensor.dtype)
        elif name.startswith(f"{owner}base_layer."):
            weights[name.replace(f"{owner}base_layer.", owner)] = tensor
    return weights


def save_adapter(model: "PreTrainedModel", directory: Path) -> None:
    """Write the adapter in peft's own format."""
    import peft
    from safetensors.torch import save_file

    directory.mkdir()
    tensors = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    prefixed = {f"base_model.model.{k}": v.contiguous() for k, v in tensors.items()}
    save_file(prefixed, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    configs: Any = model.peft_config
    config = copy.copy(configs["default"])
    if isinstance(config.target_modules, set):
        # peft writes a set in an order that changes from process to process
        config.target_modules = sorted(config.target_modules)
    config.save_pretrained(str(directory))


def restore_adapter(model: "PreTrainedModel", directory: Path) -> None:
    """Load a saved adapter into a model with adapters in the same layers (`attach_adapters`).

    Raises `InputError` if a layer's weights are missing, unknown or of another shape.
    """
    import peft
    from safetensors.torch import load_file

    tensors = load_file(directory / "adapter_model.safetensors")
    saved = {name.removeprefix("base_model.model."): tensor for name, tensor in tensors.items()}
    wanted = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    require_same(directory, saved, wanted)
    peft.set_peft_model_state_dict(model, saved)
