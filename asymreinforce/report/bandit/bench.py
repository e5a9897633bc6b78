"""Read the tables of a theory bench: chains, their traces, and limits by the closed form."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asymreinforce.bandit.contracts import BANDIT_CHAINS, BANDIT_LIMITS, BANDIT_TRACES
from asymreinforce.data import contracts
from asymreinforce.errors import InputError

Row = dict[str, Any]

SWEPT = ("update", "lr", "steps", "samples", "group_size", "sampling_seed")
"""Swept settings; a figure uses the first value of each, unless the figure varies it."""


class Bench(NamedTuple):
    """The chains (rows of BANDIT_CHAINS), their traces in order of steps, and BANDIT_LIMITS."""

    chains: list[Row]
    traces: dict[int, list[Row]]
    limits: list[Row]

    @property
    def near_seed(self) -> int:
        """The seed of the draw of rewards that has its own panel: the first of the sweep."""
        return int(self.chains[0]["seed"])

    @property
    def near(self) -> "Bench":
        """The bench with only the chains of `near_seed`."""
        return self.only(seed=self.near_seed)

    def only(self, **settings: Any) -> "Bench":
        """Return the bench with only the chains that have these settings."""
        kept = [c for c in self.chains if all(c[name] == is_ for name, is_ in settings.items())]
        return self._replace(chains=kept)

    def of_first(self, *varied: str) -> "Bench":
        """Return the bench with the first value of every swept setting that is not in `varied`."""
        return self.only(**{n: self.chains[0][n] for n in SWEPT if n not in varied})

    def values(self, name: str) -> list[Any]:
        """Return the distinct values of a setting, sorted."""
        return sorted({chain[name] for chain in self.chains})


class Spread(NamedTuple):
    """The median over chains at each x value, with the 10 % and 90 % quantiles."""

    places: list[float]
    low: list[float]
    median: list[float]
    high: list[float]


def read_bench(directory: Path) -> Bench:
    """Read the tables of a bench; raises `InputError` if a table is absent, damaged or empty."""
    chains = contracts.read_table(directory / "chains.parquet", BANDIT_CHAINS)
    if len(chains) == 0:
        raise InputError(f"{directory / 'chains.parquet'}: holds no chain; run the bench again")
    # no figure needs the policies, which hold a number for each arm of each chain
    rows = chains.drop_columns(["policy"]).to_pylist()
    traces: dict[int, list[Row]] = {row["chain"]: [] for row in rows}
    for moment in contracts.read_table(directory / "traces.parquet", BANDIT_TRACES).to_pylist():
        traces[moment["chain"]].append(moment)
    limits = contracts.read_table(directory / "limits.parquet", BANDIT_LIMITS).to_pylist()
    return Bench(rows, traces, limits)


def columns_of(rows: Sequence[Row], *names: str) -> list[list[Any]]:
    """Return the columns of some rows, as matplotlib takes them."""
    return [[row[name] for row in rows] for name in names]


def spread_by_place(rows: Sequence[Row], place: str, value: str | Callable[[Row], float]) -> Spread:
    """Return the quantiles of a column or a function over the rows with the same x value."""
    at: dict[float, list[float]] = {}
    for row in rows:
        at.setdefault(row[place], []).append(row[value] if isinstance(value, str) else value(row))
    places = sorted(at)
    low, median, high = (
        [float(np.quantile(at[where], share)) for where in places] for share in (0.1, 0.5, 0.9)
    )
    return Spread(places, low, median, high)
