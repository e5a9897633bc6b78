"""The model in training as it decodes: whole, and in the precision that it trains in.

A model that trains in bf16 has fp32 masters. Under autocast these would be cast for every forward
pass, and keys kept in fp32: here the model gets bf16 copies of them meanwhile.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from asymreinforce.update.trainer import Trainer


@contextlib.contextmanager
def decoding(trainer: "Trainer") -> Iterator["PreTrainedModel | None"]:
    """Yield the model on the trainer's device, as the first of several ranks; None to the others.

    One that is in shards is gathered, so every rank must call.
    """
    trainer.scorer.free()  # room for the cache
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
    """Give a model bf16 copies of its parameters, adapters too; put its own back after."""
    masters = [(parameter, parameter.data) for parameter in model.parameters()]
    try:
        _place(model, torch.bfloat16, model.device)
        yield
    finally:
        for parameter, master in masters:
            parameter.data = master


def _place(model: "PreTrainedModel", dtype: torch.dtype | None, device: torch.device) -> None:
    """Move a model, its parameters in `dtype` if there is one.

    Buffers keep their type: in bf16 the frequencies of rotary embeddings are off by up to 0.4%,
    which turns position 1,000 by radians.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(device, dtype)
    model.to(device)
