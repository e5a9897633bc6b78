"""The full state of a training run, written without pickle: optimizer, random state, position."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asymreinforce.data import files
from asymreinforce.errors import InputError
from asymreinforce.policy.trainer import Trainer

TENSORS = "state.safetensors"
POSITION = "state.json"


class Position(NamedTuple):
    """Where a run stands: steps done, and the best validation accuracy so far."""

    step: int
    best_step: int | None
    best_accuracy: float | None


def save_state(
    directory: Path, trainer: Trainer, position: Position, *, more: dict[str, Tensor]
) -> None:
    """Write the state that, with the weights of the same step, continues the run bit for bit."""
    from safetensors.torch import save_file

    directory.mkdir()
    tensors = {f"more.{name}": tensor.contiguous() for name, tensor in more.items()}
    tensors["random"] = torch.get_rng_state()
    for name, parameter in _trained(trainer):
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value.contiguous()
    save_file(tensors, directory / TENSORS)
    schedule = {
        key: value
        for key, value in trainer.schedule.state_dict().items()
        if key in ("last_epoch", "_step_count", "_last_lr")
    }
    text = json.dumps({**position._asdict(), "schedule": schedule}, indent=2, sort_keys=True)
    (directory / POSITION).write_text(text + "\n")


def load_state(directory: Path, trainer: Trainer) -> tuple[Position, dict[str, Tensor]]:
    """Put optimizer, schedule and random state back; return the position and what else was kept.

    Raises `InputError` where the state does not belong to this model.
    """
    from safetensors.torch import load_file

    tensors = load_file(directory / TENSORS)
    stored: dict[str, Any] = files.read_json(directory / POSITION)
    # A function has no state of its own: None in its place leaves the trainer's as it is.
    trainer.schedule.load_state_dict({**stored.pop("schedule"), "lr_lambdas": [None]})
    try:
        for name, parameter in _trained(trainer):
            state = trainer.optimizer.state[parameter]
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = tensors[f"optimizer.{key}.{name}"]
                state[key] = value if key == "step" else value.to(parameter.device)
    except KeyError as error:
        raise InputError(f"{directory}: is not the state of this model, it lacks {error}") from None
    torch.set_rng_state(tensors["random"])
    for group, lr in zip(
        trainer.optimizer.param_groups, trainer.schedule.get_last_lr(), strict=True
    ):
        group["lr"] = lr
    more = {
        name.removeprefix("more."): tensor
        for name, tensor in tensors.items()
        if name.startswith("more.")
    }
    return Position(**stored), more


def _trained(trainer: Trainer) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, p) for name, p in trainer.model.named_parameters() if p.requires_grad]
