"""How the pool talks to its processes: framed JSON over sockets, heartbeats in shared memory.

JSON, never pickle: what comes back has passed through code that saw untrusted text.
"""

import json
import mmap
import socket
import struct
from typing import Any, NamedTuple

HEADER = struct.Struct("<I")
HEARTBEAT = struct.Struct("dq")
LARGEST_FRAME = 1 << 28
OUT_OF_MEMORY = 77
"""Exit code of a worker whose row met the memory limit."""
RETIRED = 78
"""Exit code of a worker whose row was judged but left something behind in its process."""


def frame(value: Any) -> bytes:
    """Return a JSON value as bytes with its length in front."""
    payload = json.dumps(value).encode()
    return HEADER.pack(len(payload)) + payload


def read_frame(stream: socket.socket) -> Any:
    """Block until a whole frame is there and return its value; None at the end of the stream."""
    header = _read_exactly(stream, HEADER.size)
    payload = header and _read_exactly(stream, HEADER.unpack(header)[0])
    return json.loads(payload) if payload else None


def _read_exactly(stream: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = stream.recv(min(size - len(parts), 1 << 20))
        if not part:
            return b""
        parts += part
    return bytes(parts)


class Frames:
    """Cuts a stream of bytes, fed as it comes, into the values that it carries."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Return the values that are complete by now; raises `ValueError` for what is no frame."""
        self._buffer += data
        values = []
        while len(self._buffer) >= HEADER.size:
            (size,) = HEADER.unpack_from(self._buffer)
            if size > LARGEST_FRAME:
                raise ValueError(f"a frame of {size} bytes")
            end = HEADER.size + size
            if len(self._buffer) < end:
                break
            values.append(json.loads(self._buffer[HEADER.size : end]))
            del self._buffer[:end]
        return values


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
