"""Ctrl-C and SIGTERM: stop where it is safe, say so in a line, and lose as little as can be.

Most stages are simply unwound: what is published stays, the shard in flight is dropped. Training
delays signals (`delay_signals`): it ends the step that it is in and writes a checkpoint. After the
first signal the second has the operating system's own effect, which is to stop at once.

A command that trains arms in processes of its own waits for them, and passes a signal that it alone
got on by the connection to each of them (`experiment/children.py`), whose task `as_worker` stops.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from asymreinforce import progress

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = b"\nstopping after this step, with a checkpoint; Ctrl-C again stops at once\n"

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_UNTIL_RAISED_AGAIN = 0.01
SECONDS_OF_DOUBT = 1.0
"""A terminal and some schedulers signal workers too, at about the time of their parent."""

_asked: int | None = None
_patient = 0
_word_to_stop: threading.Event | None = None
"""Set once the process that this one works for is asked to stop; None if it works for none."""
_is_handling = False
"""Whether `handle_signals` is at work; signals before it began or after it ended are past."""


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop; `code` is what a shell expects it to exit with."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextlib.contextmanager
def handle_signals() -> Iterator[None]:
    """Turn the first of the signals into `Interrupted`; outside the main thread do nothing."""
    global _asked, _is_handling
    if _is_handling or threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked, _is_handling = None, True
    before = {number: signal.signal(number, _on_signal) for number in SIGNALS}
    hook = sys.unraisablehook
    sys.unraisablehook = lambda dropped: None if _raise_again(dropped) else hook(dropped)
    try:
        yield
    finally:
        _is_handling = False
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code() -> int | None:
    """Return what to exit with where a signal came, whoever caught the exception meanwhile."""
    return None if _asked is None else 128 + _asked


@contextlib.contextmanager
def delay_signals() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether a signal has come; it is raised as `Interrupted` at the end."""
    global _patient
    _patient += 1
    try:
        yield lambda: _is_handling and _asked is not None
    finally:
        _patient -= 1
    if _is_handling and _asked is not None:
        raise Interrupted(_asked)


def work_for_another(word_to_stop: threading.Event) -> None:
    """Say that this process is a worker, whose tasks stop once the event is set."""
    global _word_to_stop
    _word_to_stop = word_to_stop


def as_worker(task: Callable[[], object]) -> None:
    """Do a task of a process that may be a worker; nothing if it was told to stop.

    In any other process the task is just done. A signal that the worker alone got is raised as
    `Interrupted`.
    """
    word = _word_to_stop
    if _is_handling or word is None:
        with handle_signals():
            task()
        return
    if word.is_set():
        return
    is_done = threading.Event()
    threading.Thread(target=_look_for, args=(word, is_done), daemon=True).start()
    try:
        with handle_signals():
            task()
    except Interrupted:
        if not word.wait(SECONDS_OF_DOUBT):
            raise
    finally:
        is_done.set()


def _look_for(word: threading.Event, is_done: threading.Event) -> None:
    """Signal this process once it is told to stop, unless that has been done from elsewhere."""
    while not is_done.wait(SECONDS_BETWEEN_LOOKS):
        if word.is_set():
            is_done.wait(SECONDS_OF_DOUBT)
            if _asked is None and _is_handling:
                os.kill(os.getpid(), signal.SIGTERM)
            return


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _asked
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    _asked = number
    if not _patient:
        raise Interrupted(number)
    if not progress.is_hushed():
        os.write(2, NOTICE)


def _raise_again(dropped: "sys.UnraisableHookArgs") -> bool:
    """Signal this process once more if what Python dropped is the exception of a signal.

    It drops it if the signal came while an object was being destroyed (`__del__`).
    """
    if not isinstance(dropped.exc_value, Interrupted):
        return False
    number = dropped.exc_value.code - 128
    for each in SIGNALS:
        signal.signal(each, _on_signal)
    # from a thread: this function is called from where nothing can be raised
    send = threading.Timer(SECONDS_UNTIL_RAISED_AGAIN, os.kill, (os.getpid(), number))
    send.daemon = True
    send.start()
    return True
