"""What `auto` means for `train.device` and `train.precision`, on a machine.

    device      cuda if torch shows a device, else cpu
    precision   bfloat16 on a CUDA device that computes in it, else float32

The command line asks once, before the settings reach the library: an identity, an arm's
`config.json`, its ranks and its evaluation only ever see the values.
"""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig


class Machine(NamedTuple):
    """What a machine can train with."""

    has_cuda: bool
    has_bfloat16: bool
    """Whether its CUDA devices compute in bfloat16."""


def this_machine() -> Machine:
    """Ask torch what is here; a machine without torch has no device."""
    if importlib.util.find_spec("torch") is None:
        return Machine(False, False)
    import torch

    if not torch.cuda.is_available():
        return Machine(False, False)
    return Machine(True, torch.cuda.is_bf16_supported(including_emulation=False))


def planned_gpu() -> Machine:
    """The GPU of `asymrl plan`, whatever this machine has."""
    return Machine(True, True)


def depends_on_the_machine(config: ExperimentConfig) -> bool:
    """Tell whether two machines could train an arm differently, or under two identities."""
    train = config.train
    return train.device == "auto" or (train.device == "cuda" and train.precision == "auto")


def resolve_auto(config: ExperimentConfig, machine: Callable[[], Machine]) -> ExperimentConfig:
    """Return the settings with `auto` replaced by what it means on a machine.

    `machine` is asked only if the settings leave something open, since asking imports torch.
    """
    train = config.train
    if "auto" not in (train.device, train.precision):
        return config
    hardware = machine() if depends_on_the_machine(config) else Machine(False, False)
    device, precision = train.device, train.precision
    if device == "auto":
        device = "cuda" if hardware.has_cuda else "cpu"
    if precision == "auto":
        # a CUDA device that is asked for by name and is not here is an error when training begins
        is_half = device == "cuda" and (hardware.has_bfloat16 or not hardware.has_cuda)
        precision = "bfloat16" if is_half else "float32"
    chosen = {"device": device, "precision": precision}
    return config.model_copy(update={"train": train.model_copy(update=chosen)})
