"""Print a table of finished arms over two settings, with the results of the arms in each cell.

    .venv/bin/python scripts/pivot.py runs/asymmetry --rows algorithm.negative_weight \
        --columns algorithm.imitation

A cell has the mean over replicates of the accuracy at the last step in %, the lowest and the
highest in brackets, and the number of collapsed arms. `--value pass_at_k` (or entropy, kl,
peak_accuracy, ...) takes another column of the summary. Several directories make one table.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.config.settings import flatten_settings
from asymreinforce.data import contracts, files
from asymreinforce.errors import AsymreinforceError

SHARES = ("accuracy", "peak_accuracy", "pass_at_k", "behaviour_accuracy", "truncated")
"""Columns of the summary that are printed in %."""


class Cell(NamedTuple):
    """The arms of one pair of values."""

    values: tuple[float, ...]
    collapsed: int

    @property
    def text(self) -> str:
        """Write the cell of the table, such as "61.2 [58.1, 64.0], 1 of 3 collapsed"."""
        mean = sum(self.values) / len(self.values)
        text = f"{mean:.1f}"
        if len(self.values) > 1:
            text += f" [{min(self.values):.1f}, {max(self.values):.1f}]"
        return text + (
            f", {self.collapsed} of {len(self.values)} collapsed" if self.collapsed else ""
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+", type=Path, help="experiments with a summary")
    parser.add_argument("--rows", required=True, help="dotted setting, or several joined by commas")
    parser.add_argument("--columns", required=True, help="dotted setting, or 'experiment'")
    parser.add_argument("--value", default="accuracy", help="column of the summary")
    given = parser.parse_args()
    try:
        arms = [arm for directory in given.directories for arm in read_arms(directory)]
    except AsymreinforceError as error:
        raise SystemExit(f"error: {error}") from None
    print("\n".join(table(arms, given.rows.split(","), given.columns, given.value)))


def read_arms(directory: Path) -> list[dict[str, Any]]:
    """Return the rows of a summary with the flat settings of each arm."""
    rows = contracts.read_table(directory / "summary.parquet", contracts.SUMMARY).to_pylist()
    for row in rows:
        config = files.read_json(directory / "train" / row["arm"] / "config.json")
        settings = flatten_settings(config) | {"experiment": directory.name}
        row["settings"] = {
            name: ", ".join(map(str, value)) if isinstance(value, list) else value
            for name, value in settings.items()
        }
    return rows


def table(
    arms: Iterable[Mapping[str, Any]], rows: Sequence[str], column: str, value: str
) -> list[str]:
    """Return the lines of a Markdown table; arms without the value are left out."""
    members: dict[tuple[Any, Any], list[Mapping[str, Any]]] = defaultdict(list)
    for arm in arms:
        if arm[value] is not None:
            key = tuple(arm["settings"].get(name) for name in rows)
            members[key, arm["settings"].get(column)].append(arm)
    across = sorted({key[1] for key in members}, key=_order)
    lines = [
        f"| {', '.join(rows)} | " + " | ".join(f"{column} {own}" for own in across) + " |",
        "| --- " * (len(across) + 1) + "|",
    ]
    for down in sorted({key[0] for key in members}, key=lambda key: [_order(part) for part in key]):
        cells = [
            cell_of(own, value).text if (own := members.get((down, c))) else "" for c in across
        ]
        lines.append(f"| {', '.join(map(str, down))} | " + " | ".join(cells) + " |")
    return lines


def cell_of(arms: Sequence[Mapping[str, Any]], value: str) -> Cell:
    scale = 100 if value in SHARES else 1
    collapsed = sum(arm["verdict"] == "collapsed" for arm in arms)
    return Cell(tuple(scale * arm[value] for arm in arms), collapsed)


def _order(value: Any) -> tuple[int, float, str]:
    is_number = isinstance(value, int | float)
    return (not is_number, value if is_number else 0.0, str(value))


if __name__ == "__main__":
    main()
