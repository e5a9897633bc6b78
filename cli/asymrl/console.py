"""Printing that the commands share: tables of one style, and untrusted texts made visible.

Texts come from models and files: invisible characters are spelled out, and no text is read as
markup.
"""

from typing import TYPE_CHECKING

from asymreinforce.untrusted import show_bytes, visible

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

VERDICT_STYLES = {"improved": "green", "collapsed": "red", "stable": "yellow", "failed": "red"}
MOST_LINES = 16
"""Lines of a text that are shown: about a screen."""


def styled_text(content: str, *, style: str = "") -> "Text":
    """Return a styled text without reading its content as markup."""
    from rich.text import Text

    return Text(visible(content), style=style)


def outcome_style(outcome: str) -> str:
    """Return the colour of an outcome."""
    return {"correct": "green", "incorrect": "red"}.get(outcome, "yellow")


def cut_text(content: str, characters: int, *, most_lines: int | None = None) -> "Text":
    """Cut an untrusted text to `characters` and `most_lines`, and say how much is left out."""
    from rich.text import Text

    # A text may have lone surrogates, which strict UTF-8 cannot encode.
    shown = show_bytes(content.encode(errors="surrogateescape"), longest=characters)
    lines = shown.text.splitlines() if most_lines else [shown.text]
    left_out = {"lines": len(lines) - (most_lines or 1), "bytes": shown.bytes_left_out}
    more = [f"{count} {unit}" for unit, count in left_out.items() if count > 0]
    text = Text("\n".join(lines[:most_lines]))
    return text + Text(f" … {' and '.join(more)} more", style="dim") if more else text


def make_table(title: str | None = None, *, numbers: tuple[str, ...] = ()) -> "Table":
    """Return a narrow table, with columns for the `numbers`."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    add_numbers(table, *numbers)
    return table


def add_numbers(table: "Table", *names: str) -> None:
    """Add columns of numbers, which stay on one line."""
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
