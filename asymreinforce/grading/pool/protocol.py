"""How the pool talks to its processes: lines of JSON over sockets, heartbeats in shared memory.

JSON, never pickle: what comes back has passed through code that saw untrusted text.
"""

import json
import mmap
import struct
from typing import Any, NamedTuple

from asymreinforce.grading.reasoning import Reasoning

HEARTBEAT = struct.Struct("dq")
LONGEST_LINE = 1 << 28
OUT_OF_MEMORY = 77
"""Exit code of a worker whose row met the memory limit."""
RETIRED = 78
"""Exit code of a worker whose row was judged but left something behind in its process."""


def line_of(value: Any) -> bytes:
    """Return a JSON value as a line."""
    return json.dumps(value).encode() + b"\n"


class Options(NamedTuple):
    """What the parent asks of a fork server, on its command line as JSON."""

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
    """Cuts a stream of bytes, fed as it comes, into the values that its lines carry."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Any]:
        """Return the values that are complete by now; raises `ValueError` for what is no list."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE or self._rest[:1] not in (b"", b"["):
            raise ValueError("no line of verdicts")
        return [json.loads(line) for line in lines]


class Heartbeat(NamedTuple):
    """When the row at work was started (monotonic seconds, 0 between rows), and its place."""

    started: float
    row: int


class Heartbeats:
    """A heartbeat for each worker, in mapped memory: it can be read while a worker hangs."""

    def __init__(self, descriptor: int, *, workers: int) -> None:
        self._memory = mmap.mmap(descriptor, workers * HEARTBEAT.size)

    def write(self, worker: int, heartbeat: Heartbeat) -> None:
        """Say which row a worker is at."""
        # In this order: a reader between the two sees the earlier row as younger than it is.
        offset = worker * HEARTBEAT.size
        struct.pack_into("d", self._memory, offset, heartbeat.started)
        struct.pack_into("q", self._memory, offset + 8, heartbeat.row)

    def read(self, worker: int) -> Heartbeat:
        """Return what a worker said last."""
        return Heartbeat(*HEARTBEAT.unpack_from(self._memory, worker * HEARTBEAT.size))
