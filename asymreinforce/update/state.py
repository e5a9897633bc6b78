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

    tensors = {f"more.{name}": tensor for name, tensor in more.items()}
    tensors["random"] = torch.get_rng_state()
    shards: dict[str, dict[str, Tensor]] = {MOMENTS: {}, MASTERS: {}}
    for name, parameter in _trained_parameters(trainer):
        for key, value in trainer.optimizer.state[parameter].items():
            group = shards[MOMENTS] if key in MOMENT_NAMES else tensors
            group[f"optimizer.{key}.{name}"] = value
        if masters:
            shards[MASTERS][f"master.{name}"] = parameter.detach()
    if trainer.ranks.is_first:
        directory.mkdir()
    trainer.ranks.wait()
    for folder, group in shards.items():
        if not trainer.ranks.mesh:
            tensors |= group
        elif group:
            from asymreinforce.update.sharding import write_shards

            write_shards(directory / folder, _contiguous(group))
    if not trainer.ranks.is_first:
        return
    save_file(_contiguous(tensors), directory / TENSORS)
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
        moments: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        for name, parameter in _trained_parameters(trainer):
            state = {key: torch.zeros_like(parameter) for key in MOMENT_NAMES}
            moments |= {f"optimizer.{key}.{name}": moment for key, moment in state.items()}
            weights[f"master.{name}"] = parameter.detach()
            step = tensors[f"optimizer.step.{name}"].to(parameter.device)
            trainer.optimizer.state[parameter] = {"step": step, **state}
        _fill(moments, directory / MOMENTS, tensors, trainer)
        if masters:
            _fill(weights, directory / MASTERS, tensors, trainer)
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


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _fill(
    wanted: dict[str, Tensor], shards: Path, tensors: dict[str, Tensor], trainer: Trainer
) -> None:
    """Fill tensors from shards, or from whole `tensors`; raises `KeyError` if one is missing."""
    if shards.exists():
        from asymreinforce.update.sharding import read_shards

        read_shards(shards, wanted, trainer.ranks)
        return
    for name, tensor in wanted.items():
        tensor.copy_(_placed(tensors[name], tensor, trainer))


def _placed(value: Tensor, parameter: Tensor, trainer: Trainer) -> Tensor:
    """Return a tensor on its parameter's device, sharded in the same way."""
    if not trainer.ranks.mesh:
        return value.to(parameter.device)
    from asymreinforce.update.sharding import place_like

    return place_like(value, parameter)
