"""Remember checksums, so that bytes are read again only if a file changed.

    <stage directory>/.sums      a line per checksum: seal, stamp, checksum, kind and name

A *stamp* hashes the name, size, inode and times of change (mtime, ctime) of every file that a
checksum covers. A process that is about to use bytes reads them once even if the stamp is the same
(`read`), because a disk may damage bytes without a trace.

`.sums` determines nothing. Writers and readers append lines; a torn or damaged line is ignored.
Checksums of files outside stage directories, such as a downloaded model, are remembered below
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
# A second change within one tick of the file system's clock would leave the stamp as it is.
SETTLED_S = 2.0
"""The tick of the coarsest file system clock; a file that changed within it is not remembered."""
LEVELS = 3
"""Levels from a file up to its stage directory, at most, as in `checkpoints/step-000100/<file>`."""


class _Stamp(NamedTuple):
    text: str
    newest_ns: int


def remembered_sha256(path: Path, *, read: bool = False) -> str:
    """Return `files.sha256` of a file or a directory, without reading it if nothing changed."""
    paths = [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
    return remembered_checksum("sha256", path, paths, lambda: files.sha256(path), read=read)


def remembered_checksum(
    kind: str, path: Path, parts: Sequence[Path], compute: Callable[[], str], *, read: bool = False
) -> str:
    """Return `compute()`, a checksum of the files `parts` at or below `path`, or its earlier value.

    With `read`, an earlier value is used only if this process computed it.
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
    # A file that changed during or shortly before the computation may not match its stamp.
    if stamp.newest_ns < began_ns - SETTLED_S * 1e9 and _stamp_files(path, parts) == stamp:
        _READ[key] = (stamp.text, value)
        if value != known:
            memory.add(name, stamp.text, value)
    return value


_READ: dict[str, tuple[str, str]] = {}
"""Kind and path -> stamp and checksum of the files that this process has read."""


def _stamp_files(path: Path, parts: Sequence[Path]) -> _Stamp:
    stats = [(str(file.absolute().relative_to(path)), file.stat()) for file in parts]
    facts = [(n, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for n, s in stats]
    newest_ns = max((max(s.st_mtime_ns, s.st_ctime_ns) for _, s in stats), default=0)
    return _Stamp(hashlib.sha256(repr(facts).encode()).hexdigest()[:32], newest_ns)


class _Memory:
    """One file of remembered checksums, to which other processes may append."""

    def __init__(self, path: Path):
        self._path = path
        self._known: dict[str, tuple[str, str]] = {}
        self._inode, self._offset = 0, 0

    def get(self, name: str, stamp: str) -> str | None:
        """Return the checksum that was remembered for a name, if the stamp is still the same."""
        self._catch_up()
        entry = self._known.get(name)
        return entry[1] if entry and entry[0] == stamp else None

    def add(self, name: str, stamp: str, value: str) -> None:
        """Remember a checksum if the file can be written."""
        if "\n" not in name:  # an entry is one line
            text = f"{stamp} {value} {name}"
            _append_line(self._path, f"{_seal_of(text)} {text}")

    def _catch_up(self) -> None:
        """Read the lines that were appended since the last call."""
        try:
            stat = self._path.stat()
            # another file took the place of the known one: read it from its start
            if stat.st_ino != self._inode or stat.st_size < self._offset:
                self._known, self._inode, self._offset = {}, stat.st_ino, 0
            if stat.st_size == self._offset:
                return
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                added = stream.read()
        except OSError:
            return
        # another process may be in the middle of a line; the rest is read by a later call
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            seal, _, text = line.partition(" ")
            if seal == _seal_of(text) and text.count(" ") >= 2:
                stamp, value, name = text.split(" ", 2)
                self._known[name] = (stamp, value)


_MEMORIES: dict[Path, _Memory] = {}


def _memory_of(kind: str, path: Path) -> tuple[_Memory, str]:
    """Return the memory that holds a path's checksum, and the checksum's name in it."""
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
    """Append a line that may be lost or torn; a file system that refuses is no error.

    Lines that several processes append at once do not mix on a local file system.
    """
    # A lost checksum costs one reading: the next process computes it again.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        try:
            os.write(descriptor, f"\n{line}\n".encode())  # the first \n ends a torn line
        finally:
            os.close(descriptor)
