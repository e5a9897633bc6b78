"""The protocol of the pool: lines of JSON over sockets, heartbeats in shared memory.

JSON and never pickle, since a grader that sends the answers has read untrusted text.
"""

import ctypes
import json
import mmap
from typing import Any, NamedTuple

from asymreinforce.grading.extraction import Reasoning

OUT_OF_MEMORY = 77
"""Exit code of a worker whose row reached the memory limit."""
NOT_BEGUN = -1
"""The row of a heartbeat before the first row of a job."""


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


def line_of(value: Any) -> bytes:
    """Encode a JSON value as one line."""
    return json.dumps(value).encode() + b"\n"


class Heartbeat(ctypes.Structure):
    """What a worker does, in shared memory, so that it can be read even if the worker hangs.

    A writer sets `started` first: a reader between the two writes then sees the earlier row as too
    young, which is harmless, and never the new row as too old.
    """

    started: float
    """The start of the current row (monotonic seconds); 0 between rows."""
    row: int
    """The place of the current or last row in its job."""
    _fields_ = (("started", ctypes.c_double), ("row", ctypes.c_int64))


def map_heartbeats(descriptor: int, *, workers: int) -> ctypes.Array[Heartbeat]:
    """Return the heartbeats of all workers from the shared memory of a descriptor."""
    memory = mmap.mmap(descriptor, workers * ctypes.sizeof(Heartbeat))
    return (Heartbeat * workers).from_buffer(memory)
