"""Stop on Ctrl-C and SIGTERM where it is safe, with one line of explanation and little lost work.

Most stages stop at once by an exception: published shards stay, the unfinished shard is dropped.
Training delays signals (`delay_signals`): it finishes the current step and writes a checkpoint. A
second signal has the operating system's default effect and stops the process at once.

A command that trains arms in child processes waits for them. It forwards a signal that only the
parent received over the connection to each child (`experiment/children.py`); `as_worker` stops the
child's task.
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
# A terminal and some schedulers signal workers too, at about the time of their parent.
SECONDS_OF_DOUBT = 1.0
"""Time within which a worker's signal and its parent's count as one request to stop."""

_asked: int | None = None
"""The signal that asked this process to stop."""
_patient = 0
"""How many `delay_signals` blocks are open."""
_word_to_stop: threading.Event | None = None
"""Set once the parent is asked to stop; None if this process is no worker."""
_is_handling = False
"""Whether a `handle_signals` block is open; a signal of an earlier block does not count."""


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop; `code` is the exit code that shells expect."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextlib.contextmanager
def handle_signals() -> Iterator[None]:
    """Turn the first signal into `Interrupted`; outside the main thread do nothing."""
    global _asked, _is_handling
    # Python allows signal handlers to be set in the main thread only.
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
    """Return the exit code if a signal came, even if the exception was caught; else None."""
    return None if _asked is None else 128 + _asked


@contextlib.contextmanager
def delay_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether a signal came; the block's end raises `Interrupted`."""
    global _patient
    _patient += 1
    try:
        yield lambda: _is_handling and _asked is not None
    finally:
        _patient -= 1
    if _is_handling and _asked is not None:
        raise Interrupted(_asked)


def work_for_another(word_to_stop: threading.Event) -> None:
    """Declare this process a worker, whose tasks stop once the event is set."""
    global _word_to_stop
    _word_to_stop = word_to_stop


def as_worker(task: Callable[[], object]) -> None:
    """Run a task; a worker skips or stops the task if its parent was asked to stop.

    Raises `Interrupted` if this process received a signal and no parent asked it to stop.
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
        # The parent received the signal too: it reports the stop, and the worker ends in silence.
        if not word.wait(SECONDS_OF_DOUBT):
            raise
    finally:
        is_done.set()


def _look_for(word: threading.Event, is_done: threading.Event) -> None:
    """Signal this process once its parent asks it to stop, unless a signal has come already."""
    while not is_done.wait(SECONDS_BETWEEN_LOOKS):
        if word.is_set():
            # A second signal would end training without its checkpoint, and one may be on its way.
            is_done.wait(SECONDS_OF_DOUBT)
            if _asked is None and _is_handling:
                os.kill(os.getpid(), signal.SIGTERM)
            return


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _asked
    # From here on a second Ctrl-C ends the process at once.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    _asked = number
    if not _patient:
        raise Interrupted(number)
    if not progress.is_hushed():
        # os.write, since a print that the signal interrupted cannot be entered again
        os.write(2, NOTICE)


def _raise_again(dropped: "sys.UnraisableHookArgs") -> bool:
    """Signal this process again if Python dropped an `Interrupted`; return whether it did.

    Python drops the exception if the signal came while an object was being destroyed (`__del__`).
    """
    if not isinstance(dropped.exc_value, Interrupted):
        return False
    number = dropped.exc_value.code - 128
    for each in SIGNALS:
        signal.signal(each, _on_signal)
    # from a thread, since Python drops every exception that this function raises
    send = threading.Timer(SECONDS_UNTIL_RAISED_AGAIN, os.kill, (os.getpid(), number))
    send.daemon = True
    send.start()
    return True
