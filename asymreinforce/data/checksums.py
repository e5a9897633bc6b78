"""Checksums that are remembered: bytes are read again only where something changed since.

    <stage directory>/.sums      a line a checksum: seal, stamp, checksum, what it is of

A *stamp* is name, size, inode and times of change (mtime, ctime) of every file that a checksum is
of. Who is about to use bytes has them read all the same (`read`): a disk may lose some without a
trace. What was read in this process is not read again by it, as long as the stamp stays.

The file determines nothing. Lines are appended, by readers as well, and one that is torn or damaged
is passed over. What lies in no stage directory, such as a model from elsewhere, is remembered below
`$ASYMRL_CACHE`, by default `~/.cache/asymrl`.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.data import files

SUMS = ".sums"
SETTLED_S = 2.0
"""The coarsest clock of a file system in use. What changed less long ago than that is not
remembered: a second change within the same tick would leave the stamp as it is."""
LEVELS = 3
"""So far below a stage directory lies a shard: `checkpoints/step-000100`."""


class _Stamp(NamedTuple):
    text: str
    newest_ns: int


def remembered_sha256(path: Path, *, read: bool = False) -> str:
    """Return `files.sha256` of a file or a directory, from memory if nothing changed."""
    paths = [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
    return remembered_checksum("sha256", path, paths, lambda: files.sha256(path), read=read)


def remembered_checksum(
    kind: str, path: Path, parts: Sequence[Path], compute: Callable[[], str], *, read: bool = False
) -> str:
    """Return what `compute` makes of the files `parts` at or below `path`, or what it made before.

    `read`: only if it was in this process.
    """
    path = path.absolute()
    stamp = _stamp_files(path, parts)
    key = f"{kind} {path}"
    if _READ.get(key, ("", ""))[0] == stamp.text:
        return _READ[key][1]
    memory, name = _memory_of(kind, path)
    known = memory.get(name, stamp.text)
    if known is not None and not read:
        return known
    began_ns = time.time_ns()
    value = compute()
    if stamp.newest_ns < began_ns - SETTLED_S * 1e9 and _stamp_files(path, parts) == stamp:
        _READ[key] = (stamp.text, value)
        if value != known:
            memory.add(name, stamp.text, value)
    return value


_READ: dict[str, tuple[str, str]] = {}
"""Kind and path -> stamp and checksum, of what this process has read."""


def _stamp_files(path: Path, parts: Sequence[Path]) -> _Stamp:
    stats = [(str(file.absolute().relative_to(path)), file.stat()) for file in parts]
    facts = [(n, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for n, s in stats]
    newest_ns = max((max(s.st_mtime_ns, s.st_ctime_ns) for _, s in stats), default=0)
    return _Stamp(hashlib.sha256(repr(facts).encode()).hexdigest()[:32], newest_ns)


class _Memory:
    """One file of remembered checksums; what others append to it is read as it comes."""

    def __init__(self, path: Path):
        self._path = path
        self._known: dict[str, tuple[str, str]] = {}
        self._inode, self._offset = 0, 0

    def get(self, name: str, stamp: str) -> str | None:
        """Return the checksum that was remembered under a stamp."""
        self._catch_up()
        entry = self._known.get(name)
        return entry[1] if entry and entry[0] == stamp else None

    def add(self, name: str, stamp: str, value: str) -> None:
        """Remember a checksum, if the file system lets us."""
        if "\n" not in name:
            text = f"{stamp} {value} {name}"
            _append_line(self._path, f"{_seal_of(text)} {text}")

    def _catch_up(self) -> None:
        """Read what was appended since, or all of another file."""
        try:
            stat = self._path.stat()
            if stat.st_ino != self._inode or stat.st_size < self._offset:
                self._known, self._inode, self._offset = {}, stat.st_ino, 0
            if stat.st_size == self._offset:
                return
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                added = stream.read()
        except OSError:
            return
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            seal, _, text = line.partition(" ")
            if seal == _seal_of(text) and text.count(" ") >= 2:
                stamp, value, name = text.split(" ", 2)
                self._known[name] = (stamp, value)


_MEMORIES: dict[Path, _Memory] = {}


def _memory_of(kind: str, path: Path) -> tuple[_Memory, str]:
    """Return the memory in which a path's checksum stands, and its name there."""
    for above in path.parents[:LEVELS]:
        if (above / "plan.json").exists():
            return _memory_at(above / SUMS), f"{kind} {path.relative_to(above)}"
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return _memory_at(_cache_directory() / f"{name}{SUMS}"), f"{kind} {path}"


def _memory_at(path: Path) -> _Memory:
    return _MEMORIES.setdefault(path, _Memory(path))


def _cache_directory() -> Path:
    if chosen := os.environ.get("ASYMRL_CACHE"):
        return Path(chosen)
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(shared)) / "asymrl"  # noqa: PTH111 - a home may be unknown


def _seal_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _append_line(path: Path, line: str) -> None:
    """Append a line that may be lost or torn: it is made anew by whoever misses it.

    A file system that refuses is no error. Lines that processes append at once do not mix on a
    local file system.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        try:
            os.write(descriptor, f"\n{line}\n".encode())  # a line that was torn ends here
        finally:
            os.close(descriptor)
