"""Atomic publication: a temporary name, fsync, rename. No other module renames a file.

Whatever a process was doing when it was killed, a reader sees a whole file or none. Each point at
which a kill could leave something behind is a named *failpoint*: a test sets
`ASYMRL_FAILPOINT=<n>` to be killed at the n-th one, and `ASYMRL_FAILPOINT_LOG=<file>` to have
their names written down.
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
ABANDONED_S = 300.0
"""What another host left half-written and has not touched for so long, it never finishes."""
_passed_failpoints = 0
_guards: list[tuple[Path, Callable[[], None]]] = []


def pass_failpoint(name: str) -> None:
    """Kill this process here where `ASYMRL_FAILPOINT` says so; otherwise do nothing."""
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

    It raises if this process may no longer change the directory.
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
    """Turn a failure of the file system into a `StorageError`: where, and how to mend it."""
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
    """Create a directory and its parents; a `StorageError` says why where that cannot be."""
    with readable_os_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def temporary_of(path: Path) -> Path:
    """Return the name under which this process writes what will be `path`."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{process_namespace()[:8]}-{path.name}")


def publish_path(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file or directory, then rename it to `path`.

    A directory that stands at `path` already (an invalid one, or the caller would not write) is
    removed first. Raises `StorageError` where the file system refuses, and what a guard raises.
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
            if path.is_dir():
                shutil.rmtree(path)
            pass_failpoint(f"rename {path.name}")
            _ask_guards(path)
            temporary.rename(path)
            fsync(path.parent)
            pass_failpoint(f"published {path.name}")
        except BaseException:
            with contextlib.suppress(OSError):
                _remove_unguarded(temporary)
            _ask_guards(path)  # whoever took the directory over may have removed the temporary file
            raise


def publish_bytes(path: Path, content: bytes) -> None:
    """Publish a small file."""
    publish_path(path, lambda temporary: _write_bytes(temporary, content))


def publish_json(path: Path, value: Any) -> None:
    """Publish a JSON file, keys sorted so that equal values are equal bytes."""
    publish_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return a value as a JSON file; raises `ValueError` for a number that is not finite.

    JSON has no NaN, and other programs read no file with one: whoever has one writes null.
    """
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def publish_passing(path: Path, value: Any) -> None:
    """Publish a small JSON file that may be lost: it is written anew soon, and determines nothing.

    Readers see a whole file or none. It is not flushed to the disk and is no failpoint, and a file
    system that refuses is no error: work does not end because nobody can be told of it.
    """
    temporary = temporary_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(json_bytes(value))
        temporary.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            remove_path(temporary)


def read_json(path: Path) -> Any:
    """Read a JSON file; an `InputError` names it where it is absent or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(
            f"{path}: not readable as JSON ({error}); delete it and run the stage again"
        ) from None


def read_if_whole(path: Path) -> dict[str, Any]:
    """Read a JSON object that may be absent or damaged: then it says nothing."""
    try:
        content = read_json(path)
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}


def remove_path(path: Path) -> None:
    """Remove a file or a directory, if it is there; raises what a guard raises."""
    _ask_guards(path)
    _remove_unguarded(path)


def _remove_unguarded(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def remove_leftovers(directory: Path, *, below: bool = True) -> None:
    """Remove what killed processes left half-written in a directory, and `below` it.

    Of this host what no living process is writing; of another what was not touched for long.
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
    """Return a hash of where process numbers mean what they mean here: host, boot, namespace."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def seconds_since_written(path: Path) -> float:
    """Return the seconds since a file, or anything in a directory, was written; 0 if unknown.

    By the clock of the file system, to which a probe is written: hosts' own clocks may differ.
    """
    try:
        probe = temporary_of(path.with_name("clock"))
        probe.write_bytes(b"")
        now = probe.stat().st_mtime
        probe.unlink()
        return now - max(file.stat().st_mtime for file in [path, *path.rglob("*")])
    except OSError:
        return 0.0


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, or of a directory's relative names and files."""
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
    """Return the bytes of a file, or of all files of a directory."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _share_files(path: Path) -> None:
    """Let whoever may read a directory read its files.

    safetensors creates its files for their owner alone, whatever the umask.
    """
    if not path.is_dir():
        return
    readable = stat.S_IMODE(path.stat().st_mode) & 0o666
    for file in path.rglob("*"):
        if file.is_file() and stat.S_IMODE(file.stat().st_mode) != readable:
            with contextlib.suppress(PermissionError):  # of a file system without such modes
                file.chmod(readable)


def _fsync_tree(path: Path) -> None:
    if path.is_dir():
        for file in path.rglob("*"):
            fsync(file)
    fsync(path)
