"""Replace `auto` in `train.device` and `train.precision` by the values for a machine.

    device      cuda if torch shows a device, else cpu
    precision   bfloat16 on a CUDA device that computes in bfloat16, else float32

The command line does so once, before the settings reach the library. Identities, an arm's
`config.json`, its ranks and its evaluation see only the values.
"""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig


class Machine(NamedTuple):
    """Devices and precision that a machine can train with."""

    has_cuda: bool
    has_bfloat16: bool
    """Whether its CUDA devices compute in bfloat16."""


def this_machine() -> Machine:
    """Return the devices that torch shows; a machine without torch has no device."""
    if importlib.util.find_spec("torch") is None:
        return Machine(False, False)
    import torch

    if not torch.cuda.is_available():
        return Machine(False, False)
    return Machine(True, torch.cuda.is_bf16_supported(including_emulation=False))


def planned_gpu() -> Machine:
    """Return the GPU that `asymrl plan` assumes, independent of this machine."""
    return Machine(True, True)


def depends_on_the_machine(config: ExperimentConfig) -> bool:
    """Return whether two machines could train an arm differently, or under two identities."""
    train = config.train
    return train.device == "auto" or (train.device == "cuda" and train.precision == "auto")


def resolve_auto(config: ExperimentConfig, machine: Callable[[], Machine]) -> ExperimentConfig:
    """Return the settings with `auto` replaced by the values for a machine."""
    train = config.train
    if "auto" not in (train.device, train.precision):
        return config
    # `machine` is called only if needed: it imports torch
    hardware = machine() if depends_on_the_machine(config) else Machine(False, False)
    device, precision = train.device, train.precision
    if device == "auto":
        device = "cuda" if hardware.has_cuda else "cpu"
    if precision == "auto":
        # device=cuda without a device counts as half: training then fails with its own error
        is_half = device == "cuda" and (hardware.has_bfloat16 or not hardware.has_cuda)
        precision = "bfloat16" if is_half else "float32"
    chosen = {"device": device, "precision": precision}
    return config.model_copy(update={"train": train.model_copy(update=chosen)})
