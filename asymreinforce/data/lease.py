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
    """Touch this process's lease every so often, and remove it at the end."""
    for right in path.parent.glob(f"{path.name}.over-*"):
        files.remove_path(right)  # to a lease that is not there any more; who has it will see that
    files.remove_leftovers(path.parent, below=False)
    done = threading.Event()
    threading.Thread(target=_touch_lease, args=(path, claim, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        if os.getpid() == claim.pid and _read_holder(path) == claim:
            files.pass_failpoint(f"release {path.name}")
            with contextlib.suppress(OSError):  # what went wrong before it is worth more words
                files.remove_path(path)
            if is_new:
                with contextlib.suppress(OSError):  # whoever was refused leaves no trace
                    path.parent.rmdir()


def current_holder(directory: Path) -> Holder | None:
    """Return who works on a directory now, this process and its parents aside; None for nobody."""
    owner = _read_holder(path_of(directory))
    if owner is None or _is_own_lineage(owner) or _is_dead(owner, path_of(directory)):
        return None
    return owner


def is_abandoned(directory: Path) -> bool:
    """Tell whether the lease of a dead process lies beside a directory."""
    owner = _read_holder(path_of(directory))
    return owner is not None and _is_dead(owner, path_of(directory))


def _acquire_lease(path: Path, claim: Holder, directory: Path) -> Holder:
    """Create the lease, or take over a dead one; return whose lease this process works under."""
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
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        files.pass_failpoint(f"lease {path.name}")
    return True


def _take_over(path: Path, dead: Holder | None, claim: Holder) -> None:
    """Replace a dead lease by `claim`, unless another process is about to, or was quicker."""
    right = path.with_name(f"{path.name}.over-{dead.nonce if dead else 'unreadable'}")
    if not _create_lease(right, claim):
        rival = _read_holder(right)
        if rival is None or _is_dead(rival, right):
            files.remove_path(right)
        return
    try:
        if _read_holder(path) == dead:
            files.publish_bytes(path, json.dumps(claim._asdict()).encode())
    finally:
        files.remove_path(right)


def _read_holder(path: Path) -> Holder | None:
    """Return who a lease names; None where there is none, or it cannot be read (yet)."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _require_kept(directory: Path, owner: Holder) -> None:
    """Raise `HeldError` if the lease is no longer the owner's; an unreachable file is no reason."""
    path = path_of(directory)
    current = _read_holder(path)
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
    return _start_time(owner.pid) != owner.start


def _is_own_lineage(owner: Holder) -> bool:
    """Tell whether this process or one that it descends from is the holder, and lives."""
    if owner.place != files.process_namespace():
        return False
    pid = os.getpid()
    while pid > 1 and pid != owner.pid:
        pid = _parent_of(pid)
    return pid == owner.pid and _start_time(pid) == owner.start


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name, which may hold blanks and parentheses."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parent_of(pid: int) -> int:
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else 0


def _start_time(pid: int) -> int | None:
    """Return when a process started; None where it is dead, or a zombie that only waits for it."""
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
