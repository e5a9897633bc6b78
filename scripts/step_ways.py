"""The ways to take an optimizer step: ours, and the alternatives of a user.

Each takes a model, then a workload, and returns the step that is measured.
"""

from collections.abc import Callable
from typing import Any

import baselines
import torch
from transformers import PreTrainedModel
from workloads import Optimizer, Workload

from asymreinforce.update.trainer import Trainer

Step = Callable[[], Any]
Prepared = Callable[[Workload], Step]

OURS, TRL, PADDED, SORTED = "asymreinforce", "TRL RLOO", "padded", "length-sorted"


def ours(model: PreTrainedModel) -> Prepared:
    """Return a step of our trainer, set up as in the train stage."""
    trainer = Trainer(model, Optimizer())  # type: ignore[arg-type]
    return lambda work: lambda: trainer.step(*work)


def of_baseline(gradient: Callable[..., None], *, rows: int) -> Callable[..., Prepared]:
    """Return a step of a baseline, with the layout of tokens in the measured time."""

    def prepare(model: PreTrainedModel) -> Prepared:
        finished = with_optimizer(model)
        return lambda work: lambda: finished(lambda: gradient(model, *work, rows=rows))

    return prepare


def trl(*, rows: int) -> Callable[[PreTrainedModel], Prepared]:
    """Return TRL's loss step; `baselines.trl_rloo` says what the measured time leaves out."""

    def prepare(model: PreTrainedModel) -> Prepared:
        gradient_of = baselines.trl_rloo(model, rows=rows)
        finished = with_optimizer(model)

        def of(work: Workload) -> Step:
            gradient = gradient_of(*work)
            return lambda: finished(gradient)

        return of

    return prepare


def with_optimizer(model: PreTrainedModel) -> Callable[[Callable[[], None]], None]:
    """Add the norm of the gradient and AdamW to a gradient, as `Trainer.step` does."""
    settings = Optimizer()
    adamw = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, betas=settings.betas, weight_decay=0.0, fused=True
    )

    def step(gradient: Callable[[], None]) -> None:
        adamw.zero_grad(set_to_none=False)
        gradient()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip)
        adamw.step()

    return step


def ways(vocabulary: int) -> dict[str, Callable[[PreTrainedModel], Prepared]]:
    """Return our way, and each baseline with its fastest micro-batch on CPU.

    The sizes 2, 4, 8 and 16 were tried. With a large vocabulary TRL's head needs more tokens.
    """
    found = {
        OURS: ours,
        TRL: trl(rows=8 if vocabulary > 10_000 else 2),
        PADDED: of_baseline(baselines.padded, rows=2),
        SORTED: of_baseline(baselines.length_sorted, rows=2),
    }
    if not baselines.has_trl():
        del found[TRL]
    return found
