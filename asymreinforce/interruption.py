"""Ctrl-C and SIGTERM: stop where it is safe, say so in a line, and lose as little as can be.

Most stages are simply unwound: what is published stays, the shard in flight is dropped. Training
is `patient`: it ends the step that it is in and writes a checkpoint. After the first signal the
second has the operating system's own effect, which is to stop at once.

A command that trains arms in processes of its own waits for them (`with_workers`): a signal that it
alone got is passed on by a file, which each of them looks for (`as_worker`).
"""

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from asymreinforce import progress

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = b"\nstopping after this step, with a checkpoint; Ctrl-C again stops at once\n"

WORKERS_LOOK_FOR = "ASYMRL_STOP_FILE"
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_OF_DOUBT = 1.0
"""A terminal and some schedulers signal workers too, at about the time of their parent."""

_asked: int | None = None
_patient = 0
_stop_file: Path | None = None
"""Where the workers of this process look."""
_is_handling = False
"""Whether `handled` is at work here; what was asked before it began or after it ended is past."""


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop; `code` is what a shell expects it to exit with."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turn the first of the signals into `Interrupted`; outside the main thread do nothing."""
    global _asked, _is_handling
    if _is_handling or threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked, _is_handling = None, True
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    finally:
        _is_handling = False
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code() -> int | None:
    """Return what to exit with where a signal came, whoever caught the exception meanwhile."""
    return None if _asked is None else 128 + _asked


@contextlib.contextmanager
def patient() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether a signal has come; it is raised as `Interrupted` at the end."""
    global _patient
    _patient += 1
    try:
        yield lambda: _is_handling and _asked is not None
    finally:
        _patient -= 1
    if _is_handling and _asked is not None:
        raise Interrupted(_asked)


@contextlib.contextmanager
def with_workers() -> Iterator[Callable[[], bool]]:
    """Wait for processes that are started from here, when they are asked to stop as this one is.

    Each ends its task where that is safe; the signal is raised here as `Interrupted` thereafter.
    Yields what tells whether it has come.
    """
    global _stop_file
    with (
        tempfile.TemporaryDirectory(prefix="asymrl-") as folder,
        patient() as is_asked_to_stop,
    ):
        _stop_file = Path(folder) / "stop"
        os.environ[WORKERS_LOOK_FOR] = str(_stop_file)
        try:
            yield is_asked_to_stop
        finally:
            del os.environ[WORKERS_LOOK_FOR]
            _stop_file = None


def as_worker(task: Callable[[], object]) -> None:
    """Do a task of a process that `with_workers` waits for; nothing where it is to stop.

    In the process of the command itself it is just done. A signal that the command did not get is
    raised as `Interrupted`.
    """
    place = os.environ.get(WORKERS_LOOK_FOR)
    if _is_handling or place is None:
        with handled():
            task()
        return
    stop = Path(place)
    if stop.exists():
        return
    is_done = threading.Event()
    threading.Thread(target=_look_for, args=(stop, is_done), daemon=True).start()
    try:
        with handled():
            task()
    except Interrupted:
        if not stop.exists():
            time.sleep(SECONDS_OF_DOUBT)
        if stop.parent.exists() and not stop.exists():
            raise
    finally:
        is_done.set()


def _look_for(stop: Path, is_done: threading.Event) -> None:
    """Signal this process once the file is there, unless that has been done from elsewhere."""
    while not is_done.wait(SECONDS_BETWEEN_LOOKS):
        if stop.exists():
            is_done.wait(SECONDS_OF_DOUBT)
            if _asked is None and _is_handling:
                os.kill(os.getpid(), signal.SIGTERM)
            return


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    _asked = number
    if _stop_file:
        _stop_file.touch()
    if not _patient:
        raise Interrupted(number)
    if not progress.is_hushed():
        os.write(2, NOTICE)
