"""Show progress: a bar with rate and time left on a terminal, plain lines elsewhere.

If the output is no terminal (CI, a log file, one of several arms in parallel), a long stage prints
a line every `SECONDS_BETWEEN_LINES`. Everything goes to standard error.
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
"""Sends an event for another process to show: {"say": line}, {"bar": settings}, {"advance": n} or
{"end": true}."""
SECONDS_BETWEEN_LINES = 20.0
BESIDE_A_NAME = 40
"""Characters of a bar and its numbers; a narrower terminal shows only count and time left."""
BESIDE_A_SHORT_NAME = 24
"""Characters of count and time left."""


_hushed = False
_tell: Tell | None = None


@contextlib.contextmanager
def hush_output() -> Iterator[None]:
    """Print no bars and lines: the parent of this process reports for all its children."""
    global _hushed
    before, _hushed = _hushed, True
    try:
        yield
    finally:
        _hushed = before


def is_hushed() -> bool:
    """Tell whether this process prints nothing (`hush_output`)."""
    return _hushed


@contextlib.contextmanager
def relay_output(tell: Tell) -> Iterator[None]:
    """Send lines and bars as events to a parent, which shows them by `RelayedProgress`."""
    global _tell
    before, _tell = _tell, tell
    try:
        yield
    finally:
        _tell = before


def say(message: str) -> None:
    """Print one line to standard error, or relay it to the parent."""
    voice()(message)


def voice() -> Callable[[str], None]:
    """Return a function that prints a line, even if this process is hushed later."""
    if _hushed:
        return lambda message: None
    if tell := _tell:
        return lambda message: tell({"say": message})
    return terminal.print_line


@contextlib.contextmanager
def bar(description: str, *, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
    """Yield `advance(n)`, which reports n more units of `total`; `done` units are done already."""
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
    """Take the place of `bar` and show nothing."""
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
        """Show one event of `Tell`; any other event is ignored."""
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
    # imported here, since only a bar on a terminal needs rich
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
        # at `total` the line below says it, with the whole time
        if now - last >= SECONDS_BETWEEN_LINES and done < count < total:
            last = now
            each = (now - start) / (count - done)
            left = (total - count) * each
            say(f"{description}: {count}/{total} {unit}, {_pace_text(each)}, {left:.0f} s left")

    yield advance
    if count > done:
        say(f"{description}: {count}/{total} {unit} in {time.monotonic() - start:.1f} s")


def _pace_text(seconds_each: float) -> str:
    """Return seconds per unit if a unit takes over 2 s, else units per second."""
    return f"{seconds_each:.0f} s each" if seconds_each > 2 else f"{1 / seconds_each:.1f}/s"


@contextlib.contextmanager
def watch_progress(
    description: str, *, total: int, unit: str, count: Callable[[], int], every_s: float = 0.5
) -> Iterator[None]:
    """Show the progress of other processes; `count()` returns how many units are done."""
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
    """Call a function every `every_s` seconds from a separate thread, and once more at the end."""
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
