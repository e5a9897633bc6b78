"""Compare the collapse rule with verdicts of finished sweeps: false alarms, misses, steps saved.

    .venv/bin/python scripts/measure_collapse.py runs/cups ...     # experiments with a summary

docs/results/collapse.md has the table and the commands of its sweeps. "without validation" runs the
rule as if training had measured no accuracy but that of a round's rollouts.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asymreinforce.algorithm.collapse import State, collapse_state
from asymreinforce.config import parse_config
from asymreinforce.data import contracts, files
from asymreinforce.stages.train.monitors import rule_of


def main(directories: list[str]) -> None:
    print("| experiment | validated | arms | collapsed | alarms | false | missed | steps saved |")
    print("| --- " * 8 + "|")
    lines = []
    for directory in map(Path, directories):
        arms = contracts.read_table(directory / "summary.parquet", contracts.SUMMARY).to_pylist()
        for is_validated in (True, False):
            states = {arm["arm"]: state_of(directory, arm, is_validated) for arm in arms}
            print(row(directory.name, is_validated, arms, states))
            if is_validated:
                lines += [line(directory.name, arm, states[arm["arm"]]) for arm in arms]
    print("\n| experiment | baseline | seed | verdict | accuracy | collapse at step | reason |")
    print("| --- " * 7 + "|")
    print("\n".join(lines))


def state_of(directory: Path, arm: Mapping[str, Any], is_validated: bool) -> State:
    """Return the rule's state after all metrics of an arm, in the order of steps."""
    place = directory / "train" / arm["arm"]
    rows = [
        metrics
        for path in sorted((place / "metrics").glob("step-*.parquet"))
        for metrics in contracts.read_table(path, contracts.METRICS).to_pylist()
    ]
    if not is_validated:
        rows = [metrics | {"validation_accuracy": None} for metrics in rows]
    config = parse_config(files.read_json(place / "config.json"))
    return collapse_state(rows, rule_of(config))


def row(name: str, is_validated: bool, arms: list[Any], states: Mapping[str, State]) -> str:
    collapsed = {arm["arm"] for arm in arms if arm["verdict"] == "collapsed"}
    alarms = {id_ for id_, state in states.items() if state.step is not None}
    last = {arm["arm"]: arm["step"] for arm in arms}
    saved = sum(last[id_] - (states[id_].step or 0) for id_ in alarms & collapsed)
    total = sum(last[id_] for id_ in collapsed)
    cells = (
        name, "yes" if is_validated else "no", len(arms), len(collapsed), len(alarms),
        len(alarms - collapsed), len(collapsed - alarms),
        f"{saved} of {total}" + (f" ({saved / total:.0%})" if total else ""),
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def line(name: str, arm: Mapping[str, Any], state: State) -> str:
    at = "-" if state.step is None else str(state.step)
    cells = (
        name, f"{arm['baseline']:+g}", arm["seed"], arm["verdict"],
        f"{100 * arm['accuracy']:.1f}", at, state.reason or "",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main(sys.argv[1:])
