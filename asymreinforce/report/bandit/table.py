"""Make the table of a theory bench: the ends of the chains of its first draw of rewards."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from asymreinforce.report.bandit.axes import signed_offset
from asymreinforce.report.bandit.bench import Bench, Row
from asymreinforce.report.bandit.sweeps import UPDATES
from asymreinforce.report.page.cells import EMPTY, Cell, Table

PIVOTS = {
    "phase_diagram": {"steps an iteration": "steps"},
    "stale_mu": {"refresh interval N": "steps"},
    "rival_updates": {"sampled arms": "samples", "update": "update"},
}
"""Benches with a table of final rewards, with one row per setting and one column per baseline."""

LISTED = {
    "V − V^µ": "offset",
    "V": "value",
    "reward": "reward",
    "of the limit": "limit_reward",
    "exact limits, iterated": "iterated_limit",
    "arms of the limit": "limit_support",
    "TV to the limit": "total_variation",
    "entropy, nats": "entropy",
    "noise": "noise",
}
"""Columns of the other benches' tables; a column is left out if no chain has a value for it."""

SMALL = 1e-4
"""Smaller numbers are written with an exponent."""


def near_table(bench: Bench, experiment: str) -> Table:
    """Make the table of the first draw, with medians over streams of sampled arms."""
    near = bench.near
    if experiment in PIVOTS:
        return _pivot_table(near, PIVOTS[experiment])
    return _chain_table(near)


def what_it_shows(bench: Bench, experiment: str) -> str:
    """Describe the cells of the table in one sentence."""
    draw = f"the rewards of seed {bench.near_seed}"
    streams = len(bench.values("sampling_seed"))
    medians = f", medians of {streams} streams of sampled arms" if streams > 1 else ""
    if experiment in PIVOTS:
        return f"Final reward on {draw}, one column per V{medians}."
    return f"The ends of the chains on {draw}{medians}."


def _pivot_table(near: Bench, settings: dict[str, str]) -> Table:
    near = near.of_first(*settings.values(), "sampling_seed")
    baselines = near.values("baseline")
    rows = []
    for values in sorted({tuple(c[name] for name in settings.values()) for c in near.chains}):
        of_row = near.only(**dict(zip(settings.values(), values, strict=True)))
        rewards = (of_row.only(baseline=baseline).chains for baseline in baselines)
        rows.append(
            (*map(_setting_cell, values), *(_median_cell(chains, "reward") for chains in rewards))
        )
    return Table(
        (*settings, *(_column_heading(near, baseline) for baseline in baselines)), tuple(rows)
    )


def _column_heading(bench: Bench, baseline: float) -> str:
    if bench.chains[0]["baseline_reference"] == "zero":
        return f"V = {baseline:g}"
    return "V^µ" if baseline == 0 else f"V^µ {signed_offset(baseline)}"


def _chain_table(near: Bench) -> Table:
    near = _with_iterated_limits(near.of_first("group_size", "sampling_seed"))
    grouped = near.chains[0]["group_size"] is not None
    known = {
        title: name
        for title, name in LISTED.items()
        if any(chain[name] is not None for chain in near.chains)
    }
    rows = []
    for size in near.values("group_size"):
        for baseline in near.values("baseline"):
            chains = near.only(group_size=size, baseline=baseline).chains
            own = (_setting_cell(size), _number_cell(baseline)) if grouped else ()
            rows.append((*own, *(_median_cell(chains, name) for name in known.values())))
    return Table((*(("G", "baseline") if grouped else ()), *known), tuple(rows))


def _with_iterated_limits(bench: Bench) -> Bench:
    """Add Theorem 4.3's reward after as many exact limits, from the last moment of the trace."""
    ends = ({"iterated_limit": bench.traces[c["chain"]][-1]["limit_reward"]} for c in bench.chains)
    return bench._replace(chains=[c | end for c, end in zip(bench.chains, ends, strict=True)])


def _median_cell(chains: Sequence[Row], name: str) -> Cell:
    values = [chain[name] for chain in chains if chain[name] is not None]
    return _number_cell(median(values)) if values else EMPTY


def _setting_cell(value: Any) -> Cell:
    return Cell(UPDATES.get(value, str(value)), value)


def _number_cell(value: float) -> Cell:
    if value != 0 and abs(value) < SMALL:
        return Cell(f"{value:.0e}".replace("-", "−"), value)
    # rounding can leave "-0"
    text = f"{value:.5f}".rstrip("0").rstrip(".")
    return Cell("0" if text == "-0" else text.replace("-", "−"), value)
