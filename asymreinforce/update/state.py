"""Save and load the state of a training run without pickle: optimizer, random state, position.

If training is sharded, each rank writes its shards of the optimizer's moments to `moments/` and of
the master weights to `masters/`. Any number of ranks can read the state, sharded or not.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asymreinforce.data import files
from asymreinforce.errors import InputError
from asymreinforce.update.trainer import Trainer

TENSORS = "state.safetensors"
MOMENTS = "moments"
MASTERS = "masters"
MOMENT_NAMES = ("exp_avg", "exp_avg_sq")
POSITION = "state.json"


class Position(NamedTuple):
    """Position of a run: steps done, and the best validation accuracy so far."""

    step: int
    best_step: int | None
    best_accuracy: float | None


def save_state(
    directory: Path,
    trainer: Trainer,
    position: Position,
    *,
    more: dict[str, Tensor],
    masters: bool = False,
) -> None:
    """Write the state from which, with the same step's weights, a run continues bit for bit.

    `masters`: also write the trained weights, if the checkpoint holds rounded weights. Every rank
    must call, with a directory that all ranks see.
    """
    from safetensors.torch import save_file

    tensors = {f"more.{name}": tensor.contiguous() for name, tensor in more.items()}
    tensors["random"] = torch.get_rng_state()
    moments: dict[str, Tensor] = {}
    for name, parameter in _trained_parameters(trainer):
        for key, value in trainer.optimizer.state[parameter].items():
            is_shard = trainer.ranks.mesh and key in MOMENT_NAMES
            (moments if is_shard else tensors)[f"optimizer.{key}.{name}"] = value.contiguous()
    shards = {MOMENTS: moments}
    if masters:
        weights = {
            f"master.{name}": p.detach().contiguous() for name, p in _trained_parameters(trainer)
        }
        shards[MASTERS] = weights if trainer.ranks.mesh else {}
        tensors |= {} if trainer.ranks.mesh else weights
    if trainer.ranks.is_first:
        directory.mkdir()
    trainer.ranks.wait()
    for name, sharded in shards.items():
        if sharded:
            from asymreinforce.update.sharding import write_shards

            write_shards(directory / name, sharded)
    if not trainer.ranks.is_first:
        return
    save_file(tensors, directory / TENSORS)
    schedule = {
        key: value
        for key, value in trainer.schedule.state_dict().items()
        if key in ("last_epoch", "_step_count", "_last_lr")
    }
    content = files.json_bytes({**position._asdict(), "schedule": schedule})
    (directory / POSITION).write_bytes(content)


def load_state(
    directory: Path, trainer: Trainer, *, masters: bool = False
) -> tuple[Position, dict[str, Tensor]]:
    """Restore optimizer, schedule and random state; return the position and `more` of `save_state`.

    One process or many may have written the state. `masters`: restore the trained weights as well.
    Raises `InputError` if the state belongs to another model.
    """
    from safetensors.torch import load_file

    tensors = load_file(directory / TENSORS)
    stored: dict[str, Any] = files.read_json(directory / POSITION)
    # A schedule's function is not saved: None makes torch keep the trainer's function.
    trainer.schedule.load_state_dict({**stored.pop("schedule"), "lr_lambdas": [None]})
    try:
        for name, parameter in _trained_parameters(trainer):
            step = tensors[f"optimizer.step.{name}"].to(parameter.device)
            trainer.optimizer.state[parameter] = {"step": step}
        _load_moments(directory, trainer, tensors)
        if masters:
            _load_masters(directory, trainer, tensors)
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


def _trained_parameters(trainer: Trainer) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, p) for name, p in trainer.model.named_parameters() if p.requires_grad]


def _load_moments(directory: Path, trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    """Fill the optimizer's moments from shards or whole tensors; `KeyError` if one is missing."""
    parameters = dict(_trained_parameters(trainer))
    if (directory / MOMENTS).exists():
        from asymreinforce.update.sharding import read_shards

        tensors = {
            f"optimizer.{key}.{name}": torch.zeros_like(parameter)
            for key in MOMENT_NAMES
            for name, parameter in parameters.items()
        }
        read_shards(directory / MOMENTS, tensors, trainer.ranks)
    for name, parameter in parameters.items():
        for key in MOMENT_NAMES:
            value = tensors[f"optimizer.{key}.{name}"]
            trainer.optimizer.state[parameter][key] = trainer.placed(value, parameter)


def _load_masters(directory: Path, trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    """Fill the trained weights from shards or whole tensors; `KeyError` if one is missing."""
    parameters = {f"master.{name}": p.detach() for name, p in _trained_parameters(trainer)}
    if (directory / MASTERS).exists():
        from asymreinforce.update.sharding import read_shards

        read_shards(directory / MASTERS, parameters, trainer.ranks)
        return
    for name, parameter in parameters.items():
        parameter.copy_(trainer.placed(tensors[name], parameter))
