"""The ways to train a step that are measured side by side, and the sizes of the measurements.

Adapters need no gradient of the frozen weights, so their operations count a third less.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import baselines
import torch
from step_ways import Prepared, with_optimizer
from transformers import PreTrainedModel
from workloads import Optimizer, Shape, Workload

from asymreinforce.update.layers import checkpoint_activations, compile_layers
from asymreinforce.update.trainer import Trainer
from gpu.checks import NotHereError, Place

QWEN = {
    "0.5B": Shape(896, 24, 4864, 14, 2),
    "1.5B": Shape(1536, 28, 8960, 12, 2),
    "3B": Shape(2048, 36, 11_008, 16, 2),
}
TOY = Shape(32, 2, 64, 2, 1)
RANK = 32
"""The rank of adapters."""


class Scale(NamedTuple):
    """The sizes of the measurements."""

    vocabulary: int
    tokens: int
    """Tokens of a packed row."""
    length: int
    """Tokens of each sequence, if all are equal."""
    sequences: int
    """Sequences of the step with log-normal lengths."""
    rows: int
    """Sequences of a baseline's micro-batch."""
    repeats: int


REAL = Scale(151_936, 16_384, 2048, 32, 4, 5)
SMALL = Scale(128, 256, 64, 8, 4, 2)


def scale_of(place: Place) -> Scale:
    """Return the sizes for a place."""
    return SMALL if place.is_toy else REAL


class Way(NamedTuple):
    """A way to train a step: it prepares a model and returns its step."""

    prepare: Callable[[PreTrainedModel, Scale, Place], Prepared]
    share: float = 1.0
    """The share of a full gradient's operations that this way needs."""


def _ours(model: PreTrainedModel, scale: Scale, place: Place) -> Prepared:
    trainer = Trainer(
        model,
        Optimizer(),  # type: ignore[arg-type]
        tokens_per_micro_batch=scale.tokens,
        autocast=place.on_cuda,
    )
    return lambda work: lambda: trainer.step(*work)


def _compiled(model: PreTrainedModel, scale: Scale, place: Place) -> Prepared:
    prepared = _ours(model, scale, place)
    compile_layers(model)
    return prepared


def _checkpointed(model: PreTrainedModel, scale: Scale, place: Place) -> Prepared:
    checkpoint_activations(model)
    return _ours(model, scale, place)


def _adapted(model: PreTrainedModel, scale: Scale, place: Place) -> Prepared:
    from asymreinforce.model import adapters

    class Config:
        rank, alpha, target_modules = RANK, 2 * RANK, "all-linear"

    model.to(torch.bfloat16 if place.on_cuda else torch.float32)
    adapters.attach_adapters(model, Config(), seed=0)  # type: ignore[arg-type]
    return _ours(model, scale, place)


def _with_liger(model: PreTrainedModel, scale: Scale, place: Place) -> Prepared:
    """Replace the model's layers by Liger's kernels, for the rest of the process."""
    if find_spec("liger_kernel") is None:
        raise NotHereError("liger-kernel is not installed")
    from liger_kernel.transformers import apply_liger_kernel_to_qwen2

    apply_liger_kernel_to_qwen2(
        model=model, cross_entropy=False, fused_linear_cross_entropy=False
    )  # layers only: the head is ours
    return _ours(model, scale, place)


def _padding(gradient: Callable[..., None]) -> Callable[[PreTrainedModel, Scale, Place], Prepared]:
    def prepare(model: PreTrainedModel, scale: Scale, place: Place) -> Prepared:
        finished = with_optimizer(model)

        def run(work: Workload) -> None:
            with torch.autocast(place.device.type, torch.bfloat16, enabled=place.on_cuda):
                gradient(model, *work, rows=scale.rows)

        return lambda work: lambda: finished(lambda: run(work))

    return prepare


def _trl(model: PreTrainedModel, scale: Scale, place: Place) -> Prepared:
    if not baselines.has_trl():
        raise NotHereError(f"trl {baselines.TRL_VERSION} is not installed")
    gradient_of = baselines.trl_rloo(model, rows=scale.rows)
    finished = with_optimizer(model)

    def of(work: Workload) -> Callable[[], None]:
        gradient = gradient_of(*work)
        return lambda: finished(gradient)

    return of


WAYS = {
    "plain": Way(_ours),
    "compiled": Way(_compiled),
    "checkpointed": Way(_checkpointed),
    "adapters": Way(_adapted, share=2 / 3),
    "Liger": Way(_with_liger),
    "TRL RLOO": Way(_trl),
    "padded": Way(_padding(baselines.padded)),
    "length-sorted": Way(_padding(baselines.length_sorted)),
}
