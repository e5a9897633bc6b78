"""Prepare the model in training for decoding: whole, and in the precision of training."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from asymreinforce.update.trainer import Trainer


@contextlib.contextmanager
def decoding(trainer: "Trainer") -> Iterator["PreTrainedModel | None"]:
    """Yield the whole model on the trainer's device, or None on all ranks but the first.

    Every rank must call, because a sharded model is gathered from all ranks.
    """
    trainer.scorer.free()  # makes room for the cache of keys and values
    half = torch.bfloat16 if trainer.scorer.precision == torch.bfloat16 else None
    model = trainer.whole_model(dtype=half)
    if model is trainer.model:
        with half_weights(model) if half else contextlib.nullcontext():
            yield model
        return
    if model is not None:
        _place(model, half, trainer.device)
    yield model


@contextlib.contextmanager
def half_weights(model: "PreTrainedModel") -> Iterator[None]:
    """Replace a model's parameters, adapters too, by bf16 copies while the block runs."""
    # autocast would cast the fp32 masters in every forward pass, and keep the keys in fp32
    masters = [(parameter, parameter.data) for parameter in model.parameters()]
    try:
        _place(model, torch.bfloat16, model.device)
        yield
    finally:
        for parameter, master in masters:
            parameter.data = master


def _place(model: "PreTrainedModel", dtype: torch.dtype | None, device: torch.device) -> None:
    """Move a model to a device, and cast its parameters if `dtype` is not None."""
    # buffers keep their type: in bf16 the frequencies of rotary embeddings are off by up to 0.4%,
    # which turns position 1,000 by radians
    for parameter in model.parameters():
        parameter.data = parameter.data.to(device, dtype)
    model.to(device)
