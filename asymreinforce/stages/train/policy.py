"""Load and check the policy that an arm trains, and make its trainer."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from asymreinforce.config import ExperimentConfig
from asymreinforce.model import adapters, cuda
from asymreinforce.model.checkpoint import empty_model, load_model
from asymreinforce.model.fingerprint import require_unchanged
from asymreinforce.update.layers import checkpoint_activations, compile_layers
from asymreinforce.update.memory import LogitsBuffer
from asymreinforce.update.ranks import Ranks
from asymreinforce.update.trainable import require_gradients, require_trainable
from asymreinforce.update.trainer import Trainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def is_half(config: ExperimentConfig) -> bool:
    """Tell whether the model computes in bfloat16 and checkpoints are rounded to bfloat16."""
    return config.train.precision == "bfloat16"


def has_masters(config: ExperimentConfig) -> bool:
    """Tell whether training has fp32 master weights, from which bf16 checkpoints are rounded."""
    # checkpoints hold adapters in fp32, so adapters need no masters
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

    `weights`: the weights of a saved step, None to start at `checkpoint`. `policy`: the fingerprint
    of `checkpoint`. `steps`: the steps of the whole arm. `tokens`: the tokens of a packed row, 0
    for the number in the settings. Raises `ConfigError` if the device does not exist, or if packed
    training does not reproduce the model or reach its parameters, and `InputError` if the
    checkpoint has changed.
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
    """Load fp32 masters, or frozen weights with fp32 adapters.

    `is_sent`: make an empty model, because the first rank will send the values.
    """
    has_adapters = config.train.lora.rank is not None
    # with adapters the other weights are frozen: they are always those of mu
    source = checkpoint if has_adapters or weights is None else weights
    dtype = torch.bfloat16 if has_adapters and is_half(config) else torch.float32
    trusted, safe = config.policy.trust_remote_code, config.policy.safetensors_only
    if is_sent:
        model = empty_model(source, dtype=dtype, trust_remote_code=trusted)
    else:
        if source == checkpoint:
            # the arm's identity names these weights by their fingerprint
            require_unchanged(source, named=policy, safetensors_only=safe)
        model = load_model(source, dtype=dtype, trust_remote_code=trusted, safetensors_only=safe)
    if has_adapters:
        adapters.attach_adapters(model, config.train.lora, seed=config.seed)
        if weights and not is_sent:
            adapters.restore_adapter(model, weights / adapters.ADAPTER)
    if config.train.activation_checkpointing:
        checkpoint_activations(model)
    return model
