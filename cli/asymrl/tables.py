"""Tables for the terminal."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from asymreinforce import terminal
from asymreinforce.untrusted import visible

if TYPE_CHECKING:
    from asymreinforce.report.records import ReportedArm

STYLES = {"improved": "green", "collapsed": "red", "stable": "yellow"}
OWN_COLUMNS = {"baseline", "seed"}


def print_summary(summary: pa.Table) -> None:
    """Print a row an arm: where it ended on held-out prompts, against mu and its own peak."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from asymreinforce.report.coverage import pass_at_words

    rows = summary.to_pylist()
    table = Table(
        title="held-out accuracy in %, at the last step (± standard error over prompts)",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
    others = [others_of(row) for row in rows]
    # what else the arms differ in takes the place of what can be read in the report
    pass_at = pass_at_words(row["k"] for row in rows)
    more = () if any(others) else ("at step", pass_at, "KL, in-\nsample")
    for name in ("baseline", "seed", "mu", "accuracy", "peak", *more):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    if any(others):
        table.add_column("also", overflow="fold", min_width=20)
    for row, also in zip(rows, others, strict=True):
        style = STYLES.get(row["verdict"], "")
        cells: list[str | Text] = [
            f"{row['baseline']:+g}" if row["baseline"] else "0",
            str(row["seed"]),
            f"{100 * row['behaviour_accuracy']:.1f}",
            f"{100 * row['accuracy']:.1f} ±{100 * row['accuracy_se']:.1f}",
            f"{100 * row['peak_accuracy']:.1f}",
            *(in_full(row) if more else []),
            Text(row["verdict"], style=style),
        ]
        table.add_row(*cells, *([Text(visible(also))] if any(others) else []))
    terminal.make_console().print(table)


def print_arms(arms: "Sequence[ReportedArm]") -> None:
    """Print a row an arm that is trained and not evaluated: log-probabilities, from mu to the end.

    They are means over the completions of the fixed diagnostic set, in nats.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="log-probability of the rollouts, before to after training; not evaluated",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
    for name in ("baseline", "seed", "steps", "of correct ones", "of incorrect ones"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for arm in arms:
        series = [arm.metrics.get(f"slice_logp_{kind}", ()) for kind in ("correct", "incorrect")]
        last = max((points[-1].step for points in arm.metrics.values()), default=0)
        table.add_row(
            "-" if arm.baseline is None else f"{arm.baseline:+g}" if arm.baseline else "0",
            str(arm.seed),
            str(last),
            *(f"{p[0].value:.1f} to {p[-1].value:.1f}" if p else "-" for p in series),
            Text(visible(arm.fate), style=STYLES.get(arm.fate, "")),
        )
    terminal.make_console().print(table)


def in_full(row: dict[str, Any]) -> list[str]:
    """The cells that are left out where arms differ in more than baseline and seed."""
    kl = "-" if row["kl"] is None else f"{row['kl']:.1f}"
    return [str(row["peak_step"]), f"{100 * row['pass_at_k']:.1f}", kl]


def others_of(row: dict[str, Any]) -> str:
    """Name the settings other than baseline and seed in which this arm differs from another."""
    overrides: dict[str, Any] = json.loads(row["overrides"])
    return " ".join(
        f"{key.removesuffix('.name')}={value}"
        for key, value in overrides.items()
        if key not in OWN_COLUMNS
    )
