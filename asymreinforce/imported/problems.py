"""Count the problems of rows by kind, and keep the first few places of each kind."""

from typing import NamedTuple

from asymreinforce.errors import InputError

PLACES = 3
"""The number of rows that are named for each kind of problem."""
KINDS = 20
"""The most kinds of problems in an error message; a damaged file may have one for each row."""


class ProblemCount(NamedTuple):
    """The number of rows with a problem, and the places of the first few."""

    rows: int
    places: tuple[str, ...]

    def line(self, kind: str) -> str:
        """Return a line like `3 rows repeat another row (a.jsonl line 4, a.jsonl line 9, ...)`."""
        more = ", ..." if self.rows > len(self.places) else ""
        return f"{self.rows} rows {kind} ({', '.join(self.places)}{more})"


class Problems:
    """Counts of problems; a kind is a text that continues `n rows`."""

    def __init__(self) -> None:
        self._by_kind: dict[str, ProblemCount] = {}

    def add(self, kind: str, place: str) -> None:
        """Count a problem of a row."""
        count, places = self._by_kind.get(kind, ProblemCount(0, ()))
        kept = (*places, place) if len(places) < PLACES else places
        self._by_kind[kind] = ProblemCount(count + 1, kept)

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows by kind of problem."""
        return {kind: problem.rows for kind, problem in self._by_kind.items()}

    @property
    def lines(self) -> list[str]:
        """A line for each kind of problem, the most frequent first."""
        ordered = sorted(self._by_kind.items(), key=lambda item: -item[1].rows)
        return [problem.line(kind) for kind, problem in ordered]

    def raise_if_any(self, where: str, *, rows: int, advice: str) -> None:
        """Raise `InputError` with the most frequent kinds if there is any problem."""
        if self._by_kind:
            more = len(self._by_kind) - KINDS
            shown = [*self.lines[:KINDS], *([f"and {more} more kinds"] if more > 0 else [])]
            lines = "\n  ".join(shown)
            raise InputError(f"{where}: of {rows} rows\n  {lines}\n  {advice}")
