"""What is wrong with rows, counted by kind; the first few places of each are named."""

from typing import NamedTuple

from asymreinforce.errors import InputError

PLACES = 3
"""Rows that are named of each kind of problem."""
KINDS = 20
"""Kinds of problems that an error lists; a damaged file may have one for each row."""


class ProblemCount(NamedTuple):
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
        self._by_kind: dict[str, ProblemCount] = {}

    def add(self, kind: str, place: str) -> None:
        """Count a problem of a row."""
        count, places = self._by_kind.get(kind, ProblemCount(0, ()))
        kept = (*places, place) if len(places) < PLACES else places
        self._by_kind[kind] = ProblemCount(count + 1, kept)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by kind of problem."""
        return {kind: problem.rows for kind, problem in self._by_kind.items()}

    @property
    def lines(self) -> list[str]:
        """A line for each kind, most frequent first."""
        ordered = sorted(self._by_kind.items(), key=lambda item: -item[1].rows)
        return [problem.line(kind) for kind, problem in ordered]

    def raise_if_any(self, where: str, *, rows: int, advice: str) -> None:
        """Raise `InputError` with what was found most, if anything was."""
        if self._by_kind:
            more = len(self._by_kind) - KINDS
            shown = [*self.lines[:KINDS], *([f"and {more} more kinds"] if more > 0 else [])]
            lines = "\n  ".join(shown)
            raise InputError(f"{where}: of {rows} rows\n  {lines}\n  {advice}")
