"""A lease on a stage directory: of two processes that would fill it, the second is refused.

    runs/<experiment>/<stage>/.<identity>.lease       host, process, start time, command

No lock of the operating system is used, since NFS and Lustre may lack them. A lease is created by
`O_EXCL`, of which only one process succeeds, and replaced by a rename within its directory, for
which a process first wins the right by creating `<lease>.over-<nonce>`, again by `O_EXCL`. Its
holder touches it every so often, so that a host which vanished is told from one that works.

What a dead process of this host left is taken over at once (its number and start time say that it
is dead), what another host left once it was not touched for `STALE_S`. Processes that the holder
started share its lease. A holder that was stopped for longer, or could not reach its files, loses
the lease to whoever takes it over. It is told before its next rename or removal, which it does not
do.
"""

import contextlib
import functools
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from asymreinforce.data import files
from asymreinforce.errors import HeldError

TOUCH_EVERY_S = 30.0
STALE_S = 300.0
"""Ten touches missed: longer than a file server's hiccup, shorter than a wait that matters."""
UNREADABLE_S = 3.0
"""So long an empty lease may be one whose writing is on its way, to this host or in its cache."""


class Holder(NamedTuple):
    """Who holds a lease; `start` is the process's start in clock ticks since the boot."""

    host: str
    place: str
    pid: int
    start: int
    since: str
    command: str
    nonce: str

    @property
    def line(self) -> str:
        """Name the holder for a message."""
        return f"process {self.pid} on {self.host} ('{self.command}', since {self.since})"


def path_of(directory: Path) -> Path:
    """The lease of a stage directory lies beside it."""
    return directory.with_name(f".{directory.name}.lease")


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the lease of a stage directory; raise `HeldError` where another process has it.

    A process whose parent (or the parent's parent, ...) holds it works under that one. If the lease
    is lost meanwhile, what this process would publish or remove in the directory is a `HeldError`.
    """
    path = path_of(directory)
    is_new = not path.parent.exists()
    files.make_directory(path.parent)
    mine = _me()
    owner = _acquire(path, mine, directory)
    keep = _kept(path, mine, is_new=is_new) if owner == mine else contextlib.nullcontext()
    with files.guarded(directory, functools.partial(_require_kept, directory, owner)), keep:
        yield


@contextlib.contextmanager
def _kept(path: Path, mine: Holder, *, is_new: bool) -> Iterator[None]:
    """Touch this process's lease every so often, and remove it at the end."""
    for right in path.parent.glob(f"{path.name}.over-*"):
        files.remove(right)  # to a lease that is not there any more; who has it will see that
    files.remove_leftovers(path.parent, below=False)
    done = threading.Event()
    threading.Thread(target=_keep, args=(path, mine, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        if os.getpid() == mine.pid and _read(path) == mine:
            files.failpoint(f"release {path.name}")
            with contextlib.suppress(OSError):  # what went wrong before it is worth more words
                files.remove(path)
            if is_new:
                with contextlib.suppress(OSError):  # whoever was refused leaves no trace
                    path.parent.rmdir()


def holder(directory: Path) -> Holder | None:
    """Return who works on a directory now, this process and its parents aside; None for nobody."""
    found = _read(path_of(directory))
    if found is None or _is_mine(found) or _is_dead(found, path_of(directory)):
        return None
    return found


def is_abandoned(directory: Path) -> bool:
    """Tell whether the lease of a dead process lies beside a directory."""
    found = _read(path_of(directory))
    return found is not None and _is_dead(found, path_of(directory))


def _acquire(path: Path, mine: Holder, directory: Path) -> Holder:
    """Create the lease, or take over a dead one; return whose lease this process works under."""
    deadline = time.monotonic() + UNREADABLE_S
    while True:
        if _create(path, mine):
            return mine
        found = _read(path)
        if found is None:
            if path.exists() and time.monotonic() > deadline:
                _take_over(path, None, mine)
            time.sleep(0.02)
        elif _is_mine(found):
            return found
        elif not _is_dead(found, path):
            raise HeldError(
                f"{directory}: {found.line} works on it; wait until it has ended, or stop it, and "
                f"run the same command again (if it is gone for good: delete {path})"
            )
        else:
            _take_over(path, found, mine)
        found = _read(path)
        if found is not None and found.nonce == mine.nonce:
            return mine


def _create(path: Path, mine: Holder) -> bool:
    with files.readable_os_errors(path):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, json.dumps(mine._asdict()).encode())
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        files.failpoint(f"lease {path.name}")
    return True


def _take_over(path: Path, dead: Holder | None, mine: Holder) -> None:
    """Replace a dead lease by `mine`, unless another process is about to, or was quicker."""
    right = path.with_name(f"{path.name}.over-{dead.nonce if dead else 'unreadable'}")
    if not _create(right, mine):
        rival = _read(right)
        if rival is None or _is_dead(rival, right):
            files.remove(right)
        return
    try:
        if _read(path) == dead:
            files.publish_bytes(path, json.dumps(mine._asdict()).encode())
    finally:
        files.remove(right)


def _read(path: Path) -> Holder | None:
    """Return who a lease names; None where there is none, or it cannot be read (yet)."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _require_kept(directory: Path, owner: Holder) -> None:
    """Raise `HeldError` if the lease is no longer the owner's; an unreachable file is no reason."""
    path = path_of(directory)
    found = _read(path)
    if found == owner or (found is None and path.exists()):
        return
    who = f"{found.line} took it over" if found else "it was taken over"
    raise HeldError(
        f"{directory}: this process has lost its lease: {who} while this one was stopped or could "
        f"not reach its files for over {STALE_S / 60:.0f} minutes; nothing more was written; wait "
        "until the other has ended, and run the same command again"
    )


def _keep(path: Path, mine: Holder, done: threading.Event) -> None:
    while not done.wait(TOUCH_EVERY_S):
        if _read(path) not in (mine, None):
            return
        with contextlib.suppress(OSError):
            os.utime(path)


def _me() -> Holder:
    pid = os.getpid()
    return Holder(
        host=socket.gethostname(),
        place=files.place(),
        pid=pid,
        start=_start(pid) or 0,
        since=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        command=" ".join(["asymrl", *sys.argv[1:2]]),
        nonce=secrets.token_hex(8),
    )


def _is_dead(found: Holder, path: Path) -> bool:
    if found.place != files.place():
        return files.age(path) > STALE_S
    return _start(found.pid) != found.start


def _is_mine(found: Holder) -> bool:
    """Tell whether this process or one that it descends from is the holder, and lives."""
    if found.place != files.place():
        return False
    pid = os.getpid()
    while pid > 1 and pid != found.pid:
        pid = _parent(pid)
    return pid == found.pid and _start(pid) == found.start


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name, which may hold blanks and parentheses."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _start(pid: int) -> int | None:
    """Return when a process started; None where it is dead, or a zombie that only waits for it."""
    if not Path("/proc/self").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return 0
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None
