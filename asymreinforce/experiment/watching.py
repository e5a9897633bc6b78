"""Show how each arm of a sweep gets on while it trains, in whichever process.

On a terminal a table is kept up to date; elsewhere a line tells of each arm once a minute, and of
each one that ends. Both read the files in which arms tell of themselves (`data/arm_progress.py`).
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from asymreinforce import progress, terminal
from asymreinforce.data.arm_progress import ArmProgress, duration, read_progress, words
from asymreinforce.data.arm_settings import read_failure
from asymreinforce.experiment.arm_table import ArmLine, arm_table

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

SECONDS_BETWEEN_LOOKS = 1.0
ARMS_A_LOOK = 50
"""A look at more arms than this is taken so much less often, for the file server's sake."""
SECONDS_BETWEEN_LINES = 60.0
MOST_LINES = 8
"""Arms in training of which lines tell at once."""
ROOM = 4
"""Lines of a terminal that are left to others."""


class Seen(NamedTuple):
    """The arms of a sweep as they stand, by name: in training, complete since, or failed."""

    running: dict[str, ArmProgress]
    ended: dict[str, ArmProgress | None]
    failed: dict[str, str]
    """Why, in a line."""
    before: int
    """Arms that were complete before."""
    total: int

    @property
    def done(self) -> int:
        """Complete arms."""
        return self.before + len(self.ended)


class Display(Protocol):
    """Shows what was seen."""

    def show(self, seen: Seen) -> None:
        """Show the arms as they stand."""


@contextlib.contextmanager
def watched(names: Mapping[Path, str], *, total: int) -> Iterator[None]:
    """Show the arms that are trained meanwhile, by their directories and names.

    `total` counts those as well that were complete before. Nothing is shown if a parent process
    speaks for this one.
    """
    if progress.is_hushed():
        yield
        return
    told_before = {directory: read_progress(directory) for directory in names}
    began = time.monotonic()
    with _display() as display:

        def show() -> None:
            display.show(look(names, told_before, total=total))

        speak = progress.voice()
        every_s = max(SECONDS_BETWEEN_LOOKS, len(names) / ARMS_A_LOOK)
        with progress.repeatedly(show, every_s=every_s):
            yield
    took = duration(time.monotonic() - began)
    done = look(names, told_before, total=total).done
    speak(f"train: {done}/{total} arms complete, in {took}")


def look(
    names: Mapping[Path, str], told_before: Mapping[Path, ArmProgress | None], *, total: int
) -> Seen:
    """Read where each arm stands; one that has told nothing new since is not in training yet."""
    running: dict[str, ArmProgress] = {}
    ended: dict[str, ArmProgress | None] = {}
    failed: dict[str, str] = {}
    for directory, name in names.items():
        progress = read_progress(directory)
        if (directory / "manifest.json").exists():
            ended[name] = progress
        elif failure := read_failure(directory):
            failed[name] = failure.first_line
        elif progress and progress.state == "running" and progress != told_before.get(directory):
            running[name] = progress
    return Seen(running, ended, failed, total - len(names), total)


@contextlib.contextmanager
def _display() -> Iterator[Display]:
    if not sys.stderr.isatty():
        yield SpokenLines(progress.voice())
        return
    from rich.live import Live

    console = terminal.make_console(to_stderr=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Screen(live)


class SpokenLines:
    """A line of each arm in training once a minute, and of each one that ends."""

    def __init__(self, speak: Callable[[str], None]):
        self._speak = speak
        self._told = time.monotonic()
        self._ended: set[str] = set()
        self._failed: set[str] = set()

    def show(self, seen: Seen) -> None:
        """Tell of the arms that ended since, and of the others if it is time to."""
        for name in [name for name in seen.ended if name not in self._ended]:
            self._ended.add(name)
            progress = seen.ended[name]
            of_all = f"train: {seen.before + len(self._ended)}/{seen.total} arms"
            self._speak(f"{of_all}; {name}: {words(progress)}" if progress else f"{of_all}; {name}")
        for name in [name for name in seen.failed if name not in self._failed]:
            self._failed.add(name)
            self._speak(f"train: {name} failed: {seen.failed[name]}")
        if time.monotonic() - self._told < SECONDS_BETWEEN_LINES:
            return
        self._told = time.monotonic()
        for name, progress in list(seen.running.items())[:MOST_LINES]:
            self._speak(f"train {name}: {words(progress)}")
        if (more := len(seen.running) - MOST_LINES) > 0:
            self._speak(f"train: {more} more arms in training ('asymrl status' shows all)")


class Screen:
    """A table of the arms in training, in place."""

    def __init__(self, live: "Live"):
        self._live = live

    def show(self, seen: Seen) -> None:
        """Draw the table anew."""
        size = self._live.console.size
        self._live.update(drawn(seen, width=size.width, height=size.height), refresh=True)


def drawn(seen: Seen, *, width: int, height: int) -> "Group":
    """Return the table of the arms in training, as many as there is room for, and a line of all."""
    from rich.console import Group
    from rich.text import Text

    room = max(1, height - ROOM)
    lines = [ArmLine(name, "running", progress) for name, progress in seen.running.items()]
    failed = f", {len(seen.failed)} failed" if seen.failed else ""
    more = f", {len(lines) - room} more in training" if len(lines) > room else ""
    last = Text(f"train: {seen.done}/{seen.total} arms complete{failed}{more}", style="dim")
    return Group(arm_table(lines[:room], width=width), last) if lines else Group(last)
