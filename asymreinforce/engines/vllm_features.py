"""What vLLM can do on a device, as far as it makes a difference to the engine."""

from typing import Any, NamedTuple


class Features(NamedTuple):
    """What vLLM can do on a device."""

    seeds_requests: bool
    """A request may have a seed; else torch's generator decides, in the order of the work."""
    streams: bool
    """Jobs overlap. Their completions depend on their seeds alone only if requests have seeds."""
    caches_prefixes: bool
    """A prompt is computed once for its completions."""
    sleeps: bool
    """The device's memory can be given back and taken again without a new start."""
    own_process: bool
    """vLLM works in a process of its own."""


ON_CPU = Features(
    seeds_requests=False, streams=False, caches_prefixes=False, sleeps=False, own_process=False
)
ON_GPU = Features(
    seeds_requests=True, streams=True, caches_prefixes=True, sleeps=True, own_process=True
)


def features_of(platform: Any) -> Features:
    """Return what vLLM can do on one of its platforms (`vllm.platforms`)."""
    if platform.is_cpu():
        return ON_CPU
    sleeps = platform.is_sleep_mode_available() and platform.is_cumem_allocator_available()
    return ON_GPU._replace(sleeps=sleeps)
