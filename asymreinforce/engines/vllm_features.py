"""The features of vLLM on a device that the engine depends on."""

from typing import Any, NamedTuple


class Features(NamedTuple):
    """The features of vLLM on a device."""

    seeds_requests: bool
    """A request may have a seed; otherwise torch's generator draws, in the order of the work."""
    streams: bool
    """Jobs may overlap, which needs `seeds_requests` for reproducible completions."""
    caches_prefixes: bool
    """All completions of a prompt share the prompt's keys and values."""
    sleeps: bool
    """vLLM can free the device's memory and take it again without a restart."""
    own_process: bool
    """vLLM runs in a separate process."""


ON_CPU = Features(
    seeds_requests=False, streams=False, caches_prefixes=False, sleeps=False, own_process=False
)
ON_GPU = Features(
    seeds_requests=True, streams=True, caches_prefixes=True, sleeps=True, own_process=True
)


def features_of(platform: Any) -> Features:
    """Return the features of vLLM on a platform of `vllm.platforms`."""
    if platform.is_cpu():
        return ON_CPU
    sleeps = platform.is_sleep_mode_available() and platform.is_cumem_allocator_available()
    return ON_GPU._replace(sleeps=sleeps)
