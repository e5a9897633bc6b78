"""Ctrl-C and SIGTERM: stop where it is safe, say so in a line, and lose as little as can be.

Most stages are simply unwound: what is published stays, the shard in flight is dropped. Training
is `patient`: it ends the step that it is in and writes a checkpoint. After the first signal the
second has the operating system's own effect, which is to stop at once.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from asymreinforce import progress

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = b"\nstopping after this step, with a checkpoint; Ctrl-C again stops at once\n"

_asked: int | None = None
_patient = 0
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


def ignore_ctrl_c() -> None:
    """Leave Ctrl-C, which a terminal sends to a whole family of processes, to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    _asked = number
    if not _patient:
        raise Interrupted(number)
    if not progress.is_hushed():
        os.write(2, NOTICE)
