"""The policy that an arm trains: its weights loaded, checked, and given an optimizer."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from asymreinforce.config import ExperimentConfig
from asymreinforce.model import adapters, cuda
from asymreinforce.model.checkpoint import empty_model, load_model
from asymreinforce.model.fingerprint import require_unchanged
from asymreinforce.update.head import LogitsBuffer
from asymreinforce.update.layers import checkpoint_activations, compile_layers
from asymreinforce.update.ranks import Ranks
from asymreinforce.update.trainable import require_gradients, require_trainable
from asymreinforce.update.trainer import Trainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def is_half(config: ExperimentConfig) -> bool:
    """Whether the model computes in bfloat16, and checkpoints are rounded to it."""
    return config.train.precision == "bfloat16"


def has_masters(config: ExperimentConfig) -> bool:
    """Whether the weights that train are finer than a checkpoint's; adapters stand in fp32."""
    return is_half(config) and config.train.lora.rank is None


def make_trainer(
    config: ExperimentConfig,
    *,
    checkpoint: Path,
    weights: Path | None,
    policy: str,
    steps: int,
    tokens: int,
    ranks: Ranks,
    logits: LogitsBuffer,
) -> Trainer:
    """Load a policy and make its trainer.

    `weights` are a saved step's, None to start at `checkpoint`, whose contents `policy` names;
    `steps` are those of the whole arm, `tokens` those of a packed row, 0 for what the settings say.
    Raises `ConfigError` if there is no such device, or packed training does not reproduce the model
    or reach its parameters, `InputError` for a checkpoint that changed.
    """
    if config.train.device == "cuda":
        cuda.require_device()
    torch.set_num_threads(config.train.threads)
    model = _load(config, checkpoint, weights, policy=policy, is_sent=not ranks.is_first)
    trainer = Trainer(
        model if ranks.mesh else model.to(config.train.device),
        config.optim,
        steps=steps,
        tokens_per_micro_batch=tokens or config.train.tokens_per_micro_batch,
        autocast=is_half(config),
        attention=config.train.attention,
        ranks=ranks,
        cpu_offload=config.train.cpu_offload,
        logits=logits,
    )
    with trainer.scoring():
        require_trainable(trainer.scorer, context=config.policy.context)
    require_gradients(trainer)
    if config.train.compile:
        compile_layers(trainer.model)
    return trainer


def _load(
    config: ExperimentConfig, checkpoint: Path, weights: Path | None, *, policy: str, is_sent: bool
) -> "PreTrainedModel":
    """Load fp32 masters, or frozen weights with fp32 adapters; the first rank sends them to others.

    `is_sent`: this is another rank, which needs none of the values.
    """
    has_adapters = config.train.lora.rank is not None
    source = checkpoint if has_adapters or weights is None else weights
    dtype = torch.bfloat16 if has_adapters and is_half(config) else torch.float32
    trusted, safe = config.policy.trust_remote_code, config.policy.safetensors_only
    if is_sent:
        model = empty_model(source, dtype=dtype, trust_remote_code=trusted)
    else:
        if source == checkpoint:
            require_unchanged(source, named=policy, safetensors_only=safe)
        model = load_model(source, dtype=dtype, trust_remote_code=trusted, safetensors_only=safe)
    if has_adapters:
        adapters.attach_adapters(model, config.train.lora, seed=config.seed)
        if weights and not is_sent:
            adapters.restore_adapter(model, weights / adapters.ADAPTER)
    if config.train.activation_checkpointing:
        checkpoint_activations(model)
    return model
