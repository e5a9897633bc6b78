"""Progress for people and for logs: a bar with rate and time left, or plain lines.

On a terminal a long stage shows a bar; where the output is no terminal (CI, a log file, one of
several arms in parallel) it prints a line every so often. Everything goes to standard error.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from asymreinforce import terminal

Advance = Callable[[int], None]
Tell = Callable[[dict[str, Any]], None]
"""Takes what another process is to show: {"say": line}, {"bar": settings}, {"advance": n},
{"end": true}."""
SECONDS_BETWEEN_LINES = 20.0
BESIDE_A_NAME = 40
"""Characters that a bar and its numbers take; a narrower terminal shows count and time left."""
BESIDE_A_SHORT_NAME = 24
"""Characters that these two take."""


_hushed = False
_tell: Tell | None = None


@contextlib.contextmanager
def hush_output() -> Iterator[None]:
    """Keep bars and lines back: this process is one of many whose parent speaks for all."""
    global _hushed
    before, _hushed = _hushed, True
    try:
        yield
    finally:
        _hushed = before


def is_hushed() -> bool:
    """Tell whether a parent speaks for this process."""
    return _hushed


@contextlib.contextmanager
def relay_output(tell: Tell) -> Iterator[None]:
    """Send lines and bars on as events, for a parent that shows them (`RelayedProgress`)."""
    global _tell
    before, _tell = _tell, tell
    try:
        yield
    finally:
        _tell = before


def say(message: str) -> None:
    """Print one clear line to standard error."""
    voice()(message)


def voice() -> Callable[[str], None]:
    """Return what prints a line now; it goes on doing so if this process is hushed later."""
    if _hushed:
        return lambda message: None
    if tell := _tell:
        return lambda message: tell({"say": message})
    return terminal.print_line


@contextlib.contextmanager
def bar(description: str, *, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
    """Yield `advance(n)`, which reports n more units of `total`; `done` were there before."""
    with _choose_bar()(description, total=total, unit=unit, done=done) as advance:
        yield advance


def _choose_bar() -> Callable[..., contextlib.AbstractContextManager[Advance]]:
    if _hushed:
        return silent_bar
    if _tell:
        return _relayed_bar
    return _terminal_bar if sys.stderr.isatty() else _line_bar


@contextlib.contextmanager
def silent_bar(description: str, *, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
    """Take the place of `bar` where nobody watches."""
    yield lambda count: None


@contextlib.contextmanager
def _relayed_bar(description: str, *, total: int, unit: str, done: int) -> Iterator[Advance]:
    tell = _tell
    assert tell
    tell({"bar": {"description": description, "total": total, "unit": unit, "done": done}})
    try:
        yield lambda count: tell({"advance": count})
    finally:
        tell({"end": True})


class RelayedProgress(contextlib.ExitStack):
    """Shows the events that another process relays, one bar at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._advance: Advance = lambda count: None

    def show(self, event: dict[str, Any]) -> None:
        """Show one event; others than `Tell` lists are passed over."""
        if "say" in event:
            say(event["say"])
        elif "bar" in event:
            self._advance = self.enter_context(bar(**event["bar"]))
        elif "advance" in event:
            self._advance(event["advance"])
        elif "end" in event:
            self.close()


@contextlib.contextmanager
def _terminal_bar(description: str, *, total: int, unit: str, done: int) -> Iterator[Advance]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = terminal.make_console(to_stderr=True)
    count, left = MofNCompleteColumn(), TimeRemainingColumn()
    columns = [TextColumn("{task.description}", markup=False), count, left]
    if console.width >= len(description) + len(unit) + BESIDE_A_NAME:
        more = BarColumn(), TaskProgressColumn(show_speed=True)
        columns[1:] = [*more, count, TextColumn(unit, markup=False), left]
    else:
        description = description[: max(5, console.width - BESIDE_A_SHORT_NAME)]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(description, total=total, completed=done)
        yield lambda count: progress.advance(task, count)


@contextlib.contextmanager
def _line_bar(description: str, *, total: int, unit: str, done: int) -> Iterator[Advance]:
    start = last = time.monotonic()
    count = done

    def advance(more: int) -> None:
        nonlocal last, count
        count += more
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < count < total:
            last = now
            each = (now - start) / (count - done)
            left = (total - count) * each
            say(f"{description}: {count}/{total} {unit}, {_pace_text(each)}, {left:.0f} s left")

    yield advance
    if count > done:
        say(f"{description}: {count}/{total} {unit} in {time.monotonic() - start:.1f} s")


def _pace_text(seconds_each: float) -> str:
    """Return what a unit takes, as a rate where many are done in a second."""
    return f"{seconds_each:.0f} s each" if seconds_each > 2 else f"{1 / seconds_each:.1f}/s"


@contextlib.contextmanager
def watch_progress(
    description: str, *, total: int, unit: str, count: Callable[[], int], every_s: float = 0.5
) -> Iterator[None]:
    """Show the progress of other processes: `count()` is asked for what is done, of `total`."""
    seen = done = count()
    with bar(description, total=total, unit=unit, done=done) as advance:

        def look() -> None:
            nonlocal seen
            if (now := count()) > seen:
                advance(now - seen)
                seen = now

        with repeatedly(look, every_s=every_s):
            yield


@contextlib.contextmanager
def repeatedly(call: Callable[[], None], *, every_s: float) -> Iterator[None]:
    """Call a function every so often, from a thread of its own, and once more at the end."""
    stopped = threading.Event()

    def follow() -> None:
        while not stopped.wait(every_s):
            call()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        call()
