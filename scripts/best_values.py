"""Print each method at its own best value of a setting, such as the learning rate.

    .venv/bin/python scripts/best_values.py runs/rates --methods algorithm.name,baseline \
        --setting optim.lr

The arms of a method differ in the setting and in their replicate. The value is chosen by the
accuracy on validation questions at the last step, the mean over replicates; accuracy on held-out
questions is shown and chooses nothing. "(edge)" marks a best value that is the lowest or the
highest that was tried, beyond which a better one may lie.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asymreinforce.data import contracts
from scripts.pivot import cell_of, read_arms


class Method(NamedTuple):
    """A method's arms by the value of the setting."""

    name: str
    arms: Mapping[Any, Sequence[Mapping[str, Any]]]

    @property
    def best(self) -> Any:
        """The value with the highest mean validation accuracy."""
        means = {v: np.mean([arm["validated"] for arm in arms]) for v, arms in self.arms.items()}
        return max(means, key=lambda value: means[value])

    @property
    def row(self) -> str:
        """The method's line of the table."""
        best = self.best
        edge = " (edge)" if best in (min(self.arms), max(self.arms)) else ""
        arms = self.arms[best]
        chosen = 100 * np.mean([arm["validated"] for arm in arms])
        return f"| {self.name} | {best:g}{edge} | {chosen:.1f} | {cell_of(arms, 'accuracy').text} |"

    @property
    def held_out(self) -> float:
        """Mean held-out accuracy at the best value."""
        return float(np.mean([arm["accuracy"] for arm in self.arms[self.best]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="an experiment with a summary")
    parser.add_argument("--methods", required=True, help="dotted settings joined by commas")
    parser.add_argument("--setting", required=True, help="dotted setting to choose")
    given = parser.parse_args()
    methods = read_methods(given.directory, given.methods.split(","), given.setting)
    print(f"| method | best {given.setting} | validation | held-out |\n| --- | --- | --- | --- |")
    for method in sorted(methods, key=lambda method: -method.held_out):
        print(method.row)


def read_methods(directory: Path, names: Sequence[str], setting: str) -> list[Method]:
    """Return the methods of an experiment, each a combination of values of the named settings."""
    by_name: dict[str, dict[Any, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for arm in read_arms(directory):
        settings = arm["settings"]
        name = ", ".join(str(settings[name]) for name in names if settings.get(name) is not None)
        by_name[name][settings[setting]].append(
            arm | {"validated": last_validation(directory, arm)}
        )
    return [Method(name, arms) for name, arms in by_name.items()]


def last_validation(directory: Path, arm: Mapping[str, Any]) -> float:
    """Return the accuracy on validation questions at an arm's last validated step."""
    paths = sorted((directory / "train" / arm["arm"] / "metrics").glob("step-*.parquet"))
    rows = [r for path in paths for r in contracts.read_table(path, contracts.METRICS).to_pylist()]
    known = [r for r in rows if r["validation_accuracy"] is not None]
    if not known:
        raise SystemExit(f"error: arm {arm['arm']} was not validated; set train.validation_prompts")
    return float(max(known, key=lambda row: row["step"])["validation_accuracy"])


if __name__ == "__main__":
    main()
