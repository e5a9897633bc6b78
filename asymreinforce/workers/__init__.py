"""Workers make shards by name: one worker in this process, or many on Ray.

A worker keeps what is slow to start (an engine, a pool of graders). A shard is a function of its
name alone, so that any worker can make it, again if a worker died. The stage publishes each shard
that comes back, once.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, NamedTuple

import pyarrow as pa


class ShardResult(NamedTuple):
    """The rows of one shard and JSON counts for its receipt."""

    rows: pa.Table
    facts: dict[str, Any]


Shards = Generator[tuple[str, ShardResult], None, None]
MakeShards = Callable[[Iterable[str]], Shards]
"""Makes the named shards and yields them in any order; a worker may begin shards ahead."""
StartWorker = Callable[[], AbstractContextManager[MakeShards]]
"""Starts a worker; pickled if workers are processes, on hosts that share the file system."""
Workers = Callable[[StartWorker, Sequence[str]], Shards]
"""Makes the named shards by workers, and yields each shard once, in any order."""


def in_this_process(start_worker: StartWorker, names: Sequence[str]) -> Shards:
    """Make shards by one worker in this process."""
    # closing: requests in flight are aborted before the worker ends, even if the caller stops early
    with start_worker() as make, closing(make(names)) as shards:
        yield from shards


def one_by_one(make_shard: Callable[[str], ShardResult]) -> MakeShards:
    """Return a `MakeShards` that makes one shard after the other by `make_shard`."""

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
