"""A crew makes shards by name: one worker in this process, or many on Ray.

A worker holds what is dear to start (an engine, a pool of graders). What it makes of a name is a
function of the name alone, so that it does not matter which worker makes it, or how often one dies
over it. The stage publishes, and a shard that comes back is published once.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import pyarrow as pa


class Made(NamedTuple):
    """A shard's rows, and what the stage is told of them (JSON)."""

    rows: pa.Table
    facts: dict[str, Any]


Make = Callable[[str], Made]
Start = Callable[[], AbstractContextManager[Make]]
"""Starts a worker; pickled where workers are processes, on hosts that share the file system."""
Shards = Generator[tuple[str, Made], None, None]
Crew = Callable[[Start, Sequence[str]], Shards]
"""Makes the named shards, and yields each once, in whatever order they are done."""


def alone(start: Start, names: Sequence[str]) -> Shards:
    """Make shards one after the other in this process."""
    with start() as make:
        for name in names:
            yield name, make(name)


__all__ = ["Crew", "Made", "Make", "Shards", "Start", "alone"]
