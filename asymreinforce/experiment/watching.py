"""Show the progress of each arm of a sweep while the arms train, in any process.

A terminal shows a table. Elsewhere a line is printed for each arm once a minute and when an arm
ends. Both read the files to which arms write their progress (`data/arm_progress.py`).
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from asymreinforce import progress, terminal
from asymreinforce.data.arm_progress import ArmProgress, duration, read_progress, words
from asymreinforce.data.arm_settings import read_failure
from asymreinforce.experiment.arm_table import ArmLine, arm_table

if TYPE_CHECKING:
    from rich.console import Group

SECONDS_BETWEEN_LOOKS = 1.0
ARMS_A_LOOK = 50
"""With more arms than this, files are read less often, to spare a shared file system."""
SECONDS_BETWEEN_LINES = 60.0
MOST_LINES = 8
"""The most arms in training that get a line at once."""
ROOM = 4
"""Lines of the terminal that the table leaves free."""


class Seen(NamedTuple):
    """The state of the arms of a sweep by name: in training, newly complete, or failed."""

    running: dict[str, ArmProgress]
    ended: dict[str, ArmProgress | None]
    failed: dict[str, str]
    """Arm name -> the error in one line."""
    before: int
    """The number of arms that were complete before this run."""
    total: int

    @property
    def done(self) -> int:
        """The number of complete arms."""
        return self.before + len(self.ended)


@contextlib.contextmanager
def watched(names: Mapping[Path, str], *, total: int) -> Iterator[None]:
    """Show the arms that are trained while the block runs; `names`: directory -> arm name.

    `total` includes arms that were complete before. Nothing is shown if the output of this
    process is hushed, because a parent process shows the arms.
    """
    if progress.is_hushed():
        yield
        return
    told_before = {directory: read_progress(directory) for directory in names}
    began = time.monotonic()
    with _display() as show_arms:

        def show() -> None:
            show_arms(look(names, told_before, total=total))

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
    """Read the state of each arm; an arm whose progress is as in `told_before` is left out."""
    # progress that has not changed was left by an earlier run: the arm is not in training yet
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
def _display() -> Iterator[Callable[[Seen], None]]:
    """Yield a function that shows the state of arms: by lines, or a table redrawn in place."""
    if not sys.stderr.isatty():
        yield SpokenLines(progress.voice()).show
        return
    from rich.live import Live

    console = terminal.make_console(to_stderr=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def redraw(seen: Seen) -> None:
            size = console.size
            live.update(drawn(seen, width=size.width, height=size.height), refresh=True)

        yield redraw


class SpokenLines:
    """Print a line for each arm in training once a minute, and when an arm ends."""

    def __init__(self, speak: Callable[[str], None]):
        self._speak = speak
        self._told = time.monotonic()
        self._ended: set[str] = set()
        self._failed: set[str] = set()

    def show(self, seen: Seen) -> None:
        """Print the arms that ended since the last call, and the others once a minute."""
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


def drawn(seen: Seen, *, width: int, height: int) -> "Group":
    """Return a table of as many arms in training as fit, and a line with the totals."""
    from rich.console import Group
    from rich.text import Text

    room = max(1, height - ROOM)
    lines = [ArmLine(name, "running", progress) for name, progress in seen.running.items()]
    failed = f", {len(seen.failed)} failed" if seen.failed else ""
    more = f", {len(lines) - room} more in training" if len(lines) > room else ""
    last = Text(f"train: {seen.done}/{seen.total} arms complete{failed}{more}", style="dim")
    return Group(arm_table(lines[:room], width=width), last) if lines else Group(last)
