"""A lease on a stage directory, so that only one process at a time fills the directory.

    runs/<experiment>/<stage>/.<identity>.lease       host, process, start time, command

Locks of the operating system are not used, since NFS and Lustre may lack them. A lease is created
with `O_EXCL`, which succeeds in one process only. To take over a dead lease, a process first
creates `<lease>.over-<nonce>` with `O_EXCL`, then replaces the lease by a rename within its
directory. The holder touches its lease every `TOUCH_EVERY_S`.

A lease of a dead process of this host is taken over at once; process id and start time tell that
the process is dead. A lease of another host is taken over after `STALE_S` without a touch. Child
processes of the holder share its lease. A holder that was stopped, or could not reach its files,
for longer than `STALE_S` may lose the lease; its next rename or removal then raises `HeldError`.
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
# Longer than a short failure of a file server, and short enough to wait for.
STALE_S = 300.0
"""Ten missed touches, after which the holder on another host counts as dead."""
# The holder creates the lease before it writes, and a network file system may cache the empty file.
UNREADABLE_S = 3.0
"""Time after which a lease that is still unreadable counts as dead."""


class Holder(NamedTuple):
    """The process that holds a lease; `start` is its start time in clock ticks since boot."""

    host: str
    place: str
    pid: int
    start: int
    since: str
    command: str
    nonce: str

    @property
    def line(self) -> str:
        """The holder in words, for a message."""
        return f"process {self.pid} on {self.host} ('{self.command}', since {self.since})"


def path_of(directory: Path) -> Path:
    """Return the path of a stage directory's lease."""
    # beside the directory, since the lease exists before the directory does
    return directory.with_name(f".{directory.name}.lease")


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the lease of a stage directory; raise `HeldError` if another process has the lease.

    A process works under the lease of an ancestor if there is one. If the lease is lost meanwhile,
    publishing or removing anything in the directory raises `HeldError`.
    """
    path = path_of(directory)
    is_new = not path.parent.exists()
    files.make_directory(path.parent)
    claim = _this_process()
    owner = _acquire_lease(path, claim, directory)
    keep = _keep_lease(path, claim, is_new=is_new) if owner == claim else contextlib.nullcontext()
    with (
        files.guarded_directory(directory, functools.partial(_require_kept, directory, owner)),
        keep,
    ):
        yield


@contextlib.contextmanager
def _keep_lease(path: Path, claim: Holder, *, is_new: bool) -> Iterator[None]:
    """Touch this process's lease every `TOUCH_EVERY_S`, and remove it at the end."""
    for right in path.parent.glob(f"{path.name}.over-*"):
        # A right to replace an earlier lease; its owner sees that the lease has changed.
        files.remove_path(right)
    files.remove_leftovers(path.parent, below=False)
    done = threading.Event()
    threading.Thread(target=_touch_lease, args=(path, claim, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        if os.getpid() == claim.pid and _read_holder(path) == claim:
            files.pass_failpoint(f"release {path.name}")
            with contextlib.suppress(OSError):  # an error of the work itself matters more
                files.remove_path(path)
            if is_new:
                # a stage that refused its settings leaves no directory; rmdir fails if it is filled
                with contextlib.suppress(OSError):
                    path.parent.rmdir()


def current_holder(directory: Path) -> Holder | None:
    """Return the living holder of a directory's lease; None for nobody, or for an ancestor."""
    owner = _read_holder(path_of(directory))
    if owner is None or _is_own_lineage(owner) or _is_dead(owner, path_of(directory)):
        return None
    return owner


def is_abandoned(directory: Path) -> bool:
    """Tell whether a dead process left its lease on a directory."""
    owner = _read_holder(path_of(directory))
    return owner is not None and _is_dead(owner, path_of(directory))


def _acquire_lease(path: Path, claim: Holder, directory: Path) -> Holder:
    """Create the lease or take over a dead one; return the holder of the lease in effect."""
    deadline = time.monotonic() + UNREADABLE_S
    while True:
        if _create_lease(path, claim):
            return claim
        owner = _read_holder(path)
        if owner is None:
            if path.exists() and time.monotonic() > deadline:
                _take_over(path, None, claim)
            time.sleep(0.02)
        elif _is_own_lineage(owner):
            return owner
        elif not _is_dead(owner, path):
            raise HeldError(
                f"{directory}: {owner.line} works on it; wait until it has ended, or stop it, and "
                f"run the same command again (if it is gone for good: delete {path})"
            )
        else:
            _take_over(path, owner, claim)
        owner = _read_holder(path)
        if owner is not None and owner.nonce == claim.nonce:
            return claim


def _create_lease(path: Path, claim: Holder) -> bool:
    with files.readable_os_errors(path):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, json.dumps(claim._asdict()).encode())
        except OSError:
            path.unlink()  # an empty lease would keep other processes waiting
            raise
        finally:
            os.close(descriptor)
        files.pass_failpoint(f"lease {path.name}")
    return True


def _take_over(path: Path, dead: Holder | None, claim: Holder) -> None:
    """Replace a dead lease by `claim`, unless another process does so or has done so."""
    right = path.with_name(f"{path.name}.over-{dead.nonce if dead else 'unreadable'}")
    if not _create_lease(right, claim):
        rival = _read_holder(right)
        # A process that died in the middle of a take-over must not block the lease for good.
        if rival is None or _is_dead(rival, right):
            files.remove_path(right)
        return
    try:
        # The lease may have been replaced before this process won the right.
        if _read_holder(path) == dead:
            files.publish_bytes(path, json.dumps(claim._asdict()).encode())
    finally:
        files.remove_path(right)


def _read_holder(path: Path) -> Holder | None:
    """Return the holder in a lease file; None if the file is absent or not readable (yet)."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _require_kept(directory: Path, owner: Holder) -> None:
    """Raise `HeldError` if the lease is no longer the owner's."""
    path = path_of(directory)
    current = _read_holder(path)
    # A file that exists but cannot be read proves no take-over.
    if current == owner or (current is None and path.exists()):
        return
    who = f"{current.line} took it over" if current else "it was taken over"
    raise HeldError(
        f"{directory}: this process has lost its lease: {who} while this one was stopped or could "
        f"not reach its files for over {STALE_S / 60:.0f} minutes; nothing more was written; wait "
        "until the other has ended, and run the same command again"
    )


def _touch_lease(path: Path, claim: Holder, done: threading.Event) -> None:
    while not done.wait(TOUCH_EVERY_S):
        if _read_holder(path) not in (claim, None):
            return
        with contextlib.suppress(OSError):
            os.utime(path)


def _this_process() -> Holder:
    pid = os.getpid()
    return Holder(
        host=socket.gethostname(),
        place=files.process_namespace(),
        pid=pid,
        start=_start_time(pid) or 0,
        since=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        command=" ".join(["asymrl", *sys.argv[1:2]]),
        nonce=secrets.token_hex(8),
    )


def _is_dead(owner: Holder, path: Path) -> bool:
    if owner.place != files.process_namespace():
        return files.seconds_since_written(path) > STALE_S
    # The start time tells the holder from a later process that got the same id.
    return _start_time(owner.pid) != owner.start


def _is_own_lineage(owner: Holder) -> bool:
    """Tell whether the holder is this process or a living ancestor of it."""
    if owner.place != files.process_namespace():
        return False
    pid = os.getpid()
    while pid > 1 and pid != owner.pid:
        pid = _parent_of(pid)
    return pid == owner.pid and _start_time(pid) == owner.start


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat after the command's name; empty if there are none."""
    try:
        # the name is in parentheses, and may hold blanks and parentheses itself
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parent_of(pid: int) -> int:
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else 0


def _start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot; None if it is dead or a zombie."""
    # Without /proc, only whether the process lives is known.
    if not Path("/proc/self").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return 0
    fields = _stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None
