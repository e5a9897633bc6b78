"""How the pool and its processes talk: framed JSON over sockets, and a heartbeat in shared memory.

JSON, never pickle: what comes back has passed through code that saw untrusted text.
"""

import json
import mmap
import socket
import struct
from typing import Any, NamedTuple

HEADER = struct.Struct("<I")
BEAT = struct.Struct("dq")
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


class Beat(NamedTuple):
    """When the row at work was started (monotonic seconds, 0 between rows), and its place."""

    started: float
    row: int


class Heartbeats:
    """One beat a worker, in a file that parent and workers map: readable while a worker hangs."""

    def __init__(self, descriptor: int, *, workers: int) -> None:
        self._memory = mmap.mmap(descriptor, workers * BEAT.size)

    def write(self, worker: int, beat: Beat) -> None:
        """Say what a worker is at."""
        # In this order: a reader between the two sees the earlier row as younger than it is.
        offset = worker * BEAT.size
        struct.pack_into("d", self._memory, offset, beat.started)
        struct.pack_into("q", self._memory, offset + 8, beat.row)

    def read(self, worker: int) -> Beat:
        """Return what a worker said last."""
        return Beat(*BEAT.unpack_from(self._memory, worker * BEAT.size))
