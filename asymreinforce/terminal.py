"""The two doors by which text leaves for the terminal: `print_line`, and `make_console` for tables.

Text may come from models, data and files, so at both doors every character that does not show
itself is spelled out. A reader that has gone (`asymrl report | head -1`) costs the command nothing,
and neither does an encoding that lacks a character.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from asymreinforce.untrusted import visible

if TYPE_CHECKING:
    from rich.console import Console


def print_line(message: str, *, to_stderr: bool = True) -> None:
    """Print a message, at once."""
    stream = sys.stderr if to_stderr else sys.stdout
    with _outliving_its_reader(stream):
        print(visible(message), file=stream, flush=True)


def make_console(*, to_stderr: bool = False) -> "Console":
    """Return rich's console, for tables and bars; it takes no text for markup."""
    from rich.console import Console
    from rich.segment import Segment

    class Door(Console):
        """Spells out what does not show itself; rich's own sequences are segments of control."""

        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(visible(text), style)

        def on_broken_pipe(self) -> None:
            _discard_output(self.file)

    return Door(stderr=to_stderr, highlight=False, markup=False, emoji=False)


def take_any_character() -> None:
    """Let both streams spell out the characters that their encoding lacks, as in `\\u2212`."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def flush_streams() -> None:
    """Write out what is still in memory; raises `OSError` if the system refuses it."""
    for stream in (sys.stdout, sys.stderr):
        if stream:
            with _outliving_its_reader(stream):
                stream.flush()


@contextlib.contextmanager
def _outliving_its_reader(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _discard_output(stream)


def _discard_output(stream: Any) -> None:
    """Send what a stream still gets to nowhere: whoever read it has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
