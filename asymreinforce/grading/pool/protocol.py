"""The protocol of the pool: lines of JSON over sockets, heartbeats in shared memory.

JSON and never pickle, since a grader that sends the answers has read untrusted text.
"""

import json
import mmap
import struct
from typing import Any, NamedTuple

from asymreinforce.grading.reasoning import Reasoning

HEARTBEAT = struct.Struct("dq")
LONGEST_LINE = 1 << 28
OUT_OF_MEMORY = 77
"""Exit code of a worker whose row reached the memory limit."""
RETIRED = 78
"""Exit code of a worker whose last row was judged but left children, threads or memory behind."""


def line_of(value: Any) -> bytes:
    """Encode a JSON value as one line."""
    return json.dumps(value).encode() + b"\n"


class Options(NamedTuple):
    """The options of a fork server, passed on its command line as JSON."""

    grader: str
    reasoning: Reasoning
    workers: int
    cpu_limit_s: float
    memory_limit_mb: int
    control: int = -1
    heartbeats: int = -1
    parent: int = -1
    """Descriptors of the control socket and of the heartbeats, and the parent's process id."""


class Lines:
    """Decodes a stream of bytes, fed in any pieces, into one JSON value for each line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Any]:
        """Return the values of the lines that are now complete; raises `ValueError` for no list."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE or self._rest[:1] not in (b"", b"["):
            raise ValueError("no line of verdicts")
        return [json.loads(line) for line in lines]


class Heartbeat(NamedTuple):
    """The start of the current row (monotonic seconds, 0 between rows) and its place in the job."""

    started: float
    row: int


class Heartbeats:
    """A heartbeat for each worker, in mapped memory, so that it can be read if a worker hangs."""

    def __init__(self, descriptor: int, *, workers: int) -> None:
        self._memory = mmap.mmap(descriptor, workers * HEARTBEAT.size)

    def write(self, worker: int, heartbeat: Heartbeat) -> None:
        """Record the current row of a worker."""
        # The time goes first: a reader between the two writes sees the earlier row as too young,
        # which is harmless, and never the new row as too old.
        offset = worker * HEARTBEAT.size
        struct.pack_into("d", self._memory, offset, heartbeat.started)
        struct.pack_into("q", self._memory, offset + 8, heartbeat.row)

    def read(self, worker: int) -> Heartbeat:
        """Return the last heartbeat of a worker."""
        return Heartbeat(*HEARTBEAT.unpack_from(self._memory, worker * HEARTBEAT.size))
