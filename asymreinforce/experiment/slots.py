"""The slots of this machine: the devices of each process that works side by side with others.

A *slot* is the set of CUDA devices that one process may use. For work on the CPU there is one empty
slot for each core. Slots share a device only if `sweep.workers` is larger than their number.
"""

import os
from collections.abc import Sequence

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"

Slot = tuple[str, ...]
"""CUDA devices, named as in CUDA_VISIBLE_DEVICES; empty for work on the CPU."""

ON_CPU: Slot = ()


def slots_of(
    arms: Sequence[ExperimentConfig], *, train: bool = False, sample: bool = False
) -> list[Slot]:
    """Return a slot for each process that may train the arms, or sample by an engine, at once.

    There are `sweep.workers` slots, by default as many as the devices or cores allow. Raises
    `ConfigError` if this machine shows fewer devices than one process needs.
    """
    workers = arms[0].sweep.workers
    devices = shown_devices()
    needed: dict[str, int] = {}
    if train and any(trains_on_cuda(arm) for arm in arms):
        if not devices:
            from asymreinforce.model import cuda

            cuda.require_device()  # its error says why there is no device
        needed["train.processes"] = max(arm.train.processes for arm in arms)
    if sample and devices:
        needed["engine.tensor_parallel_size"] = max(a.engine.tensor_parallel_size for a in arms)
    if not needed:
        return [ON_CPU] * (workers or len(os.sched_getaffinity(0)))
    setting, each = max(needed.items(), key=lambda item: item[1])
    slots = cut_slots(devices, each=each, setting=setting)
    if train and any(arm.train.nodes > 1 for arm in arms):
        workers = 1  # all arms meet the other nodes at the same address
    # two vLLM processes cannot share a device: each takes the memory of the whole device
    if sample and any(arm.engine.name == "vllm" for arm in arms):
        return slots[:workers]
    # with more workers than slots, processes take turns on the devices
    return [slots[number % len(slots)] for number in range(workers or len(slots))]


def trains_on_cuda(config: ExperimentConfig) -> bool:
    """Tell whether each rank of an arm needs a CUDA device."""
    return config.train.device == "cuda"


def cut_slots(devices: Sequence[str], *, each: int, setting: str) -> list[Slot]:
    """Cut devices into slots of `each` devices; devices that fill no slot are left out.

    Raises `ConfigError`, which names `setting`, if there are fewer than `each` devices.
    """
    if not at_once(len(devices), each=each):
        fix = f"use {setting}={len(devices)}, or" if devices else "use train.device=cpu, or"
        raise ConfigError(
            f"{setting}={each} needs {each} CUDA devices at once, and this machine shows "
            f"{len(devices)}; {fix} run on a machine that has them"
        )
    count = at_once(len(devices), each=each)
    return [tuple(devices[number * each : (number + 1) * each]) for number in range(count)]


def at_once(devices: int, *, each: int) -> int:
    """Return how many processes of `each` devices can run at once on `devices` devices."""
    return devices // each


def shown_devices() -> list[str]:
    """Return the CUDA devices that this process may use, named as in CUDA_VISIBLE_DEVICES."""
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",")]
    count = device_count()
    if VISIBLE not in os.environ:
        return [str(number) for number in range(count)]
    if count and named[0].startswith("MIG-"):
        return named  # CUDA counts 1 for a process however many MIG devices are named
    return named[:count]  # CUDA ignores all names from the first unknown name on


def device_count() -> int:
    """Return the number of CUDA devices that this process may use."""
    # counting makes no CUDA context, which would take memory on a device
    import torch

    return torch.cuda.device_count()
