"""The slots of this machine: what each of the processes that work side by side may use.

A *slot* is the set of CUDA devices that one process is shown, or, for work on the CPU, an empty one
for each core. Slots share no device unless `sweep.workers` asks for more processes than there are.
"""

import os
from collections.abc import Sequence

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"

Slot = tuple[str, ...]
"""CUDA devices, by the names that CUDA_VISIBLE_DEVICES takes; none for work on the CPU."""

ON_CPU: Slot = ()


def slots_of(
    arms: Sequence[ExperimentConfig], *, train: bool = False, sample: bool = False
) -> list[Slot]:
    """Return a slot for each process that may train the arms, or sample by an engine, at once.

    `sweep.workers` says how many; beyond one a device they take turns on it, but for vLLM, which
    takes the memory of the whole device. Raises `ConfigError` if this machine shows fewer devices
    than one process needs.
    """
    workers = arms[0].sweep.workers
    devices = shown_devices()
    needed: dict[str, int] = {}
    if train and any(trains_on_cuda(arm) for arm in arms):
        if not devices:
            from asymreinforce.model import cuda

            cuda.require_device()  # it knows why there is none
        needed["train.processes"] = max(arm.train.processes for arm in arms)
    if sample and devices:
        needed["engine.tensor_parallel_size"] = max(a.engine.tensor_parallel_size for a in arms)
    if not needed:
        return [ON_CPU] * (workers or len(os.sched_getaffinity(0)))
    setting, each = max(needed.items(), key=lambda item: item[1])
    slots = cut_slots(devices, each=each, setting=setting)
    if train and any(arm.train.nodes > 1 for arm in arms):
        workers = 1  # all arms meet the other nodes at one address
    if sample and any(arm.engine.name == "vllm" for arm in arms):
        return slots[:workers]
    return [slots[number % len(slots)] for number in range(workers or len(slots))]


def trains_on_cuda(config: ExperimentConfig) -> bool:
    """Tell whether an arm's ranks need a CUDA device each."""
    return config.train.device == "cuda"


def cut_slots(devices: Sequence[str], *, each: int, setting: str) -> list[Slot]:
    """Cut devices into as many slots of `each` as there are; fewer than `each` are left over.

    Raises `ConfigError`, which names the `setting` that asks for `each`, if there is not one slot.
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
    """Return how many processes of `each` devices run at the same time on so many."""
    return devices // each


def shown_devices() -> list[str]:
    """Return the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",")]
    count = device_count()
    if VISIBLE not in os.environ:
        return [str(number) for number in range(count)]
    if count and named[0].startswith("MIG-"):
        return named  # CUDA shows one process one of them, however many are named
    return named[:count]  # CUDA stops at the first that it does not know


def device_count() -> int:
    """Count the CUDA devices that are shown; no context is made on any, which would take memory."""
    import torch

    return torch.cuda.device_count()
