"""The only two functions that print: `print_line`, and `make_console` for tables and bars.

Text may come from models, data and files, so both escape every invisible character. A closed pipe
(`asymrl report | head -1`) is no error, nor is a character that the encoding lacks.
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
    """Print a message with invisible characters escaped, and flush the stream."""
    stream = sys.stderr if to_stderr else sys.stdout
    with _outliving_its_reader(stream):
        print(visible(message), file=stream, flush=True)


def make_console(*, to_stderr: bool = False) -> "Console":
    """Return a rich console for tables and bars that escapes invisible characters.

    It reads no markup and no emoji codes in texts.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Door(Console):
        """Escapes invisible characters of every text."""

        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                # rich's own escape sequences are control segments, and must reach the terminal
                yield segment if control else Segment(visible(text), style)

        def on_broken_pipe(self) -> None:
            _discard_output(self.file)

    return Door(stderr=to_stderr, highlight=False, markup=False, emoji=False)


def take_any_character() -> None:
    """Let both streams escape the characters that their encoding lacks, as in `\\u2212`."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def flush_streams() -> None:
    """Flush standard output and error; raises `OSError` if the system refuses a write."""
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
    """Send all further output of a stream to the null device, because its reader is gone."""
    # Python flushes standard streams at exit, which would raise another BrokenPipeError.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
