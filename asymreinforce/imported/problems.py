"""What is wrong with rows, counted by kind; the first few places of each are named."""

from typing import NamedTuple

from asymreinforce.errors import InputError

PLACES = 3
"""Rows that are named of each kind of problem."""
KINDS = 20
"""Kinds of problems that an error lists; a damaged file may have one for each row."""


class Found(NamedTuple):
    """How often a problem was met, and where first."""

    rows: int
    places: tuple[str, ...]

    def line(self, kind: str) -> str:
        """Say it in a line: `3 rows repeat another row (a.jsonl line 4, a.jsonl line 9, ...)`."""
        more = ", ..." if self.rows > len(self.places) else ""
        return f"{self.rows} rows {kind} ({', '.join(self.places)}{more})"


class Problems:
    """A tally of problems, each in words that follow `n rows`."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}

    def add(self, kind: str, place: str) -> None:
        """Count a problem of a row."""
        count, places = self._found.get(kind, Found(0, ()))
        kept = (*places, place) if len(places) < PLACES else places
        self._found[kind] = Found(count + 1, kept)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by kind of problem."""
        return {kind: found.rows for kind, found in self._found.items()}

    @property
    def lines(self) -> list[str]:
        """A line for each kind, most frequent first."""
        ordered = sorted(self._found.items(), key=lambda item: -item[1].rows)
        return [found.line(kind) for kind, found in ordered]

    def refuse(self, where: str, *, rows: int, advice: str) -> None:
        """Raise `InputError` with what was found most, if anything was."""
        if self._found:
            more = len(self._found) - KINDS
            shown = [*self.lines[:KINDS], *([f"and {more} more kinds"] if more > 0 else [])]
            lines = "\n  ".join(shown)
            raise InputError(f"{where}: of {rows} rows\n  {lines}\n  {advice}")
