"""A crew makes shards by name: one worker in this process, or many on Ray.

A worker holds what is dear to start (an engine, a pool of graders). What it makes of a name is a
function of the name alone, so that it does not matter which worker makes it, or how often one dies
over it. The stage publishes, and a shard that comes back is published once.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, NamedTuple

import pyarrow as pa


class ShardResult(NamedTuple):
    """A shard's rows, and what the stage is told of them (JSON)."""

    rows: pa.Table
    facts: dict[str, Any]


Shards = Generator[tuple[str, ShardResult], None, None]
MakeShards = Callable[[Iterable[str]], Shards]
"""Makes the named shards in whatever order they are done; a worker may begin some ahead."""
StartWorker = Callable[[], AbstractContextManager[MakeShards]]
"""Starts a worker; pickled where workers are processes, on hosts that share the file system."""
Workers = Callable[[StartWorker, Sequence[str]], Shards]
"""Makes the named shards, and yields each once, in whatever order they are done."""


def in_this_process(start_worker: StartWorker, names: Sequence[str]) -> Shards:
    """Make shards in this process."""
    with start_worker() as make, closing(make(names)) as shards:
        yield from shards


def one_by_one(make_shard: Callable[[str], ShardResult]) -> MakeShards:
    """Return what makes shards one after the other, each by `make_shard`."""

    def make_shards(names: Iterable[str]) -> Shards:
        for name in names:
            yield name, make_shard(name)

    return make_shards


__all__ = [
    "Workers",
    "ShardResult",
    "MakeShards",
    "Shards",
    "StartWorker",
    "in_this_process",
    "one_by_one",
]
