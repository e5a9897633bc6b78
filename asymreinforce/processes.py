"""Linux processes: attributes of this process, and the children of any process."""

import contextlib
import ctypes
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process (man 2 prctl); raises `OSError`."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def continue_when_parent_dies() -> None:
    """Let the kernel continue this process when its parent dies, if it is stopped (SIGSTOP)."""
    # A process that ends itself once its parent is gone cannot do so while it is stopped. The
    # kernel sends the signal at the end of the thread that started this process, which may be
    # earlier than the parent's end; SIGCONT does nothing to a process that runs.
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)


def children_of(pid: int) -> set[int]:
    """Return the ids of the processes whose parent is `pid`, zombies included."""
    children = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            stat = (entry / "stat").read_bytes()
            # The second field, the command's name, may hold blanks and parentheses.
            if int(stat.rpartition(b")")[2].split()[1]) == pid:
                children.add(int(entry.name))
    return children
