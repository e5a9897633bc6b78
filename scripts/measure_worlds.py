"""Describe the answers of the policies of an embedded world, before and after training.

    .venv/bin/python scripts/measure_worlds.py runs/dial runs/count ...

Reads the held-out evaluations of finished sweeps: of mu, and of the last step of each arm. Only for
`count`, the table has the share of failures that are off by one.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asymreinforce.data import contracts
from asymreinforce.experiment.arms import TrainedArm, arms_of
from asymreinforce.experiment.inputs import find_inputs
from asymreinforce.tasks import world_of
from asymreinforce.tasks.count import is_near_miss

COLUMNS = ("world", "policy", "baseline", "accuracy", "peak", "step", "verdict", "collapse seen at",
           "tokens", "worked", "near misses of failures", "training, s")  # fmt: skip


def main(directories: Sequence[str]) -> None:
    print(f"| {' | '.join(COLUMNS)} |")
    print("| --- " * len(COLUMNS) + "|")
    for directory in map(Path, directories):
        for cells in rows_of(directory):
            print(f"| {' | '.join(cells)} |")


def rows_of(directory: Path) -> Iterator[Sequence[str]]:
    """Yield a row of cells for each policy before training, and for each arm after it."""
    summary = contracts.read_table(directory / "summary.parquet", contracts.SUMMARY).to_pylist()
    curves = contracts.read_table(directory / "curves.parquet", contracts.CURVES).to_pylist()
    arms = {arm.name: arm for arm in arms_of(directory)}
    told: set[str] = set()
    for row in sorted(summary, key=lambda row: (row["policy_seed"], row["baseline"], row["seed"])):
        arm = arms[row["arm"]]
        own = [c for c in curves if c["arm"] == row["arm"] and c["split"] != "train"]
        first, last = (pick(own, key=lambda c: c["step"]) for pick in (min, max))
        start = (arm.config.task.name, str(row["policy_seed"]))
        if first["evaluation"] not in told:
            told.add(first["evaluation"])
            accuracy, *written = written_cells(directory / first["evaluation"], arm)
            yield [*start, "mu", accuracy, "", "", "", "", *written, ""]
        outcome = outcome_cells(directory / last["evaluation"], arm, row)
        yield [*start, f"{row['baseline']:g}", *outcome]


def outcome_cells(evaluation: Path, arm: TrainedArm, row: Mapping[str, Any]) -> list[str]:
    """Return the outcome of an arm, and the cells of its last evaluation."""
    accuracy, *written = written_cells(evaluation, arm)
    seen = "" if row["collapse_step"] is None else str(row["collapse_step"])
    peak = (f"{row['peak_accuracy']:.1%}", str(row["peak_step"]))
    return [accuracy, *peak, row["verdict"], seen, *written, f"{row['seconds']:.0f}"]


def written_cells(evaluation: Path, arm: TrainedArm) -> list[str]:
    """Return accuracy, mean tokens, and the shares of worked answers and of near misses."""
    rows = contracts.read_table(evaluation, contracts.EVALUATIONS).to_pylist()
    prompts = find_inputs(arm.config).prompts.path(f"{arm.config.evaluation.split}.parquet")
    golds = {
        prompt["prompt_id"]: prompt["gold_answer"]
        for prompt in contracts.read_table(prompts, contracts.PROMPTS).to_pylist()
    }
    world = world_of(arm.config.task)
    failures = [row for row in rows if row["score"] != 1.0]
    near = [r for r in failures if is_near_miss(r["extracted_answer"] or "", golds[r["prompt_id"]])]
    return [
        f"{1 - len(failures) / len(rows):.1%}",
        f"{sum(row['tokens'] for row in rows) / len(rows):.1f}",
        f"{sum(world.answer_style(row['text']) == 'worked' for row in rows) / len(rows):.1%}",
        f"{len(near) / len(failures):.0%}" if world.name == "count" and failures else "",
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
