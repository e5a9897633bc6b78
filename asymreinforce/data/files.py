"""Atomic publication: write under a temporary name, fsync, rename. No other module renames a file.

A reader sees a whole file or none, even if a writer is killed. Each point at which a kill could
leave something behind is a named *failpoint*: with `ASYMRL_FAILPOINT=<n>` a test kills the process
at the n-th failpoint, and `ASYMRL_FAILPOINT_LOG=<file>` writes their names down.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asymreinforce.errors import AsymreinforceError, InputError, StorageError
from asymreinforce.failures import ADVICE, number_of

TEMPORARY = ".tmp-"
# Whether a process of another host still lives is not known here.
ABANDONED_S = 300.0
"""Age at which another host's temporary file counts as abandoned."""
_passed_failpoints = 0
_guards: list[tuple[Path, Callable[[], None]]] = []


def pass_failpoint(name: str) -> None:
    """Kill this process if `ASYMRL_FAILPOINT` names this failpoint; otherwise do nothing."""
    global _passed_failpoints
    _passed_failpoints += 1
    if log := os.environ.get("ASYMRL_FAILPOINT_LOG"):
        with Path(log).open("a") as stream:
            stream.write(f"{name}\n")
    if os.environ.get("ASYMRL_FAILPOINT") == str(_passed_failpoints):
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def guarded_directory(directory: Path, check: Callable[[], None]) -> Iterator[None]:
    """Call `check` before this process renames or removes anything in a directory.

    `check` raises if this process may no longer change the directory.
    """
    guard = (directory.absolute(), check)
    _guards.append(guard)
    try:
        yield
    finally:
        _guards.remove(guard)


def _ask_guards(path: Path) -> None:
    for directory, check in list(_guards):
        if path.absolute().is_relative_to(directory):
            check()


@contextlib.contextmanager
def readable_os_errors(path: Path) -> Iterator[None]:
    """Turn a failure of the file system into a `StorageError` with the path and advice."""
    try:
        yield
    except Exception as error:
        number = number_of(error)
        if isinstance(error, AsymreinforceError) or not (number or isinstance(error, OSError)):
            raise
        advice = f"{error}; nothing was published, so the same command can be run again"
        raise StorageError(f"{path}: {ADVICE.get(number or 0, advice)}") from error


def fsync(path: Path) -> None:
    """Flush a file or a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> Path:
    """Create a directory and its parents; raises `StorageError`."""
    with readable_os_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def temporary_of(path: Path) -> Path:
    """Return the temporary path under which this process writes `path`."""
    # process and namespace in the name tell later whether the writer still lives
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{process_namespace()[:8]}-{path.name}")


def publish_path(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file or directory, then rename it to `path`.

    A directory at `path` is removed first; the caller has found it invalid. Raises `StorageError`
    if the file system refuses, and the errors of `guarded_directory`.
    """
    temporary = temporary_of(path)
    with readable_os_errors(path):
        try:
            pass_failpoint(f"write {path.name}")
            write(temporary)
            _share_files(temporary)
            pass_failpoint(f"fsync {path.name}")
            _fsync_tree(temporary)
            _ask_guards(path)
            if path.is_dir():  # unlike a file, a directory cannot be replaced by a rename
                shutil.rmtree(path)
            pass_failpoint(f"rename {path.name}")
            _ask_guards(path)
            temporary.rename(path)
            fsync(path.parent)  # the rename itself reaches the disk
            pass_failpoint(f"published {path.name}")
        except BaseException:
            with contextlib.suppress(OSError):
                _remove_unguarded(temporary)
            # A process that took the directory over may have removed the temporary file: then the
            # guard's error names the cause.
            _ask_guards(path)
            raise


def publish_bytes(path: Path, content: bytes) -> None:
    """Publish a small file."""
    publish_path(path, lambda temporary: _write_bytes(temporary, content))


def publish_json(path: Path, value: Any) -> None:
    """Publish a JSON file with sorted keys, so that equal values give equal bytes."""
    publish_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return the bytes of a JSON file; raises `ValueError` for a number that is not finite."""
    # JSON has no NaN, and other programs reject a file with NaN; callers write null instead.
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def publish_passing(path: Path, value: Any) -> None:
    """Publish a small JSON file that may be lost: it determines nothing and is soon rewritten.

    Readers see a whole file or none. The file is not flushed to the disk and has no failpoint.
    """
    temporary = temporary_of(path)
    # A file system that refuses is no error: work goes on even if nobody can watch it.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(json_bytes(value))
        temporary.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            remove_path(temporary)


def read_json(path: Path) -> Any:
    """Read a JSON file; raises `InputError` if the file is absent or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(
            f"{path}: not readable as JSON ({error}); delete it and run the stage again"
        ) from None


def read_if_whole(path: Path) -> dict[str, Any]:
    """Read a JSON object; return an empty dictionary if the file is absent or damaged."""
    try:
        content = read_json(path)
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}


def remove_path(path: Path) -> None:
    """Remove a file or a directory if it exists; raises the errors of `guarded_directory`."""
    _ask_guards(path)
    _remove_unguarded(path)


def _remove_unguarded(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def remove_leftovers(directory: Path, *, below: bool = True) -> None:
    """Remove the temporary files that killed processes left in a directory, and `below` it.

    A file of this host is removed if its process is dead or is this process; a file of another host
    if it was not written for `ABANDONED_S`.
    """
    pattern = f"{TEMPORARY}*"
    for leftover in sorted(directory.rglob(pattern) if below else directory.glob(pattern)):
        pid, _, rest = leftover.name.removeprefix(TEMPORARY).partition("-")
        if rest.startswith(f"{process_namespace()[:8]}-"):
            is_abandoned = not Path(f"/proc/{pid}").exists() or pid == str(os.getpid())
        else:
            is_abandoned = seconds_since_written(leftover) > ABANDONED_S
        if is_abandoned:
            remove_path(leftover)


@functools.cache
def process_namespace() -> str:
    """Return a hash of host, boot and process namespace, within which process ids are unique."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def seconds_since_written(path: Path) -> float:
    """Return the seconds since a file, or any file of a directory, was written; 0 if unknown."""
    # A probe file gives the time by the file system's clock: clocks of hosts may differ.
    try:
        probe = temporary_of(path.with_name("clock"))
        probe.write_bytes(b"")
        now = probe.stat().st_mtime
        probe.unlink()
        return now - max(file.stat().st_mtime for file in [path, *path.rglob("*")])
    except OSError:
        return 0.0


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, or of a directory's relative paths and contents."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if not file.is_file():
            continue
        digest.update(f"{file.relative_to(path.parent)}\0".encode() if path.is_dir() else b"")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def size_on_disk(path: Path) -> int:
    """Return the size in bytes of a file, or of all files of a directory."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _share_files(path: Path) -> None:
    """Give the files of a directory the directory's permissions to read and write."""
    if not path.is_dir():
        return
    # safetensors creates files that only their owner can read, whatever the umask.
    readable = stat.S_IMODE(path.stat().st_mode) & 0o666
    for file in path.rglob("*"):
        if file.is_file() and stat.S_IMODE(file.stat().st_mode) != readable:
            with contextlib.suppress(PermissionError):  # some file systems have no such modes
                file.chmod(readable)


def _fsync_tree(path: Path) -> None:
    if path.is_dir():
        for file in path.rglob("*"):
            fsync(file)
    fsync(path)
