"""Make the cells of the page's tables, each with a text to show and a value to sort by."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asymreinforce.report.groups import ArmGroup
from asymreinforce.report.statistics.intervals import Interval

NOTHING = "—"
# in so wide an interval, tenths of a point carry no information
WIDE = 0.2
"""The width, a share of 1, from which an interval is written without decimals."""


class Cell(NamedTuple):
    """The text of a cell, the value to sort by (None comes last), and a verdict for its colour.

    `command` shows the completions behind the number; `under` is a small text below it.
    """

    text: str
    value: float | str | None
    verdict: str | None = None
    command: str | None = None
    under: str = ""


class Table(NamedTuple):
    """Column titles, and rows with one cell per column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


EMPTY = Cell(NOTHING, None)


def make_table(rows: Sequence[Mapping[str, Cell]]) -> Table:
    """Make a table from rows that map column titles to cells; at least one row."""
    return Table(tuple(rows[0]), tuple(tuple(row.values()) for row in rows))


def number_cell(value: float | None, form: str) -> Cell:
    """Show a number in a format such as ".2f", with a true minus sign."""
    return EMPTY if value is None else Cell(format(value, form).replace("-", "−"), value)


def percent_cell(share: float | None, *, command: str | None = None, under: str = "") -> Cell:
    """Show a share of 1 in percent."""
    if share is None:
        return EMPTY
    return Cell(f"{100 * share:.1f}", share, command=command, under=under)


def text_cell(text: str) -> Cell:
    """Show a text, and sort by it."""
    return Cell(text, text)


def setting_cell(name: str, group: ArmGroup) -> Cell:
    """Show the name of a group of arms, sorted by its baseline."""
    return Cell(name, name if group.baseline is None else group.baseline)


def bracket_interval(interval: Interval, *, sign: str = "") -> str:
    """Write an interval of shares in points: "[52.1, 58.7]"; wide intervals without decimals."""
    decimals = 1 if interval.high - interval.low < WIDE else 0
    ends = (f"{100 * end:{sign}.{decimals}f}" for end in (interval.low, interval.high))
    return f"[{', '.join(ends)}]".replace("-", "−")


def plain_text(value: Any) -> str:
    """Write a setting's value: a text as it is, else JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def setting_rows(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return dotted settings with their values as texts, in the order of their names."""
    return [(key, plain_text(settings[key])) for key in sorted(settings)]
