"""CPU time of a step of eight baselines side by side against those of the eight trained alone.

    python scripts/bench_arms.py [--steps 60] [--repeats 3]

The script first makes the embedded policy and a small set of its rollouts. Then it trains nine runs
in this process: each of eight baselines alone, and the eight side by side (`sweep.together=8`). The
runs take steps in turn, so that changes of the machine's speed affect all alike. Only the CPU time
of steps counts, without start-up and checkpoints. The ratio is the median over steps of the time of
the eight side by side to the sum of the eight alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from measures import median, table

from asymreinforce.config import ExperimentConfig, parse_config
from asymreinforce.data import files
from asymreinforce.experiment import inputs
from asymreinforce.progress import hush_output
from asymreinforce.stages.train import Training, arm_store, train_side_by_side

BASELINES = (-0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
SET = ("engine=transformers", "task.train=480", "sampling.prompts_per_shard=240")
TRAIN = ("train.validation_prompts=0", "train.checkpoint_every=1000")
WARM_UP = 5
"""Steps at the start of a run that are not counted, since they allocate memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.steps <= WARM_UP + 1:
        parser.error(f"--steps is more than {WARM_UP + 1}: so many warm up, and one more publishes")
    with tempfile.TemporaryDirectory() as work:
        arms = prepare(Path(work), steps=chosen.steps)
        rounds = [measure(arms, Path(work) / str(number)) for number in range(chosen.repeats)]
    ratios = [statistics.median(b / a for a, b in each) for each in rounds]
    steps = [step for each in rounds for step in each]
    alone, together = (median(values) for values in zip(*steps, strict=True))
    rows = [
        ["one arm alone, in the mean", f"{1000 * alone / len(BASELINES):.1f}"],
        ["eight arms alone, their sum", f"{1000 * alone:.1f}"],
        ["eight arms side by side", f"{1000 * together:.1f}"],
        ["side by side over alone", f"{median(ratios):.3f}"],
        ["the same, least and most of the repeats", f"{min(ratios):.3f} to {max(ratios):.3f}"],
    ]
    print(table(["a step", "CPU ms, median"], rows))


def prepare(work: Path, *, steps: int) -> list[ExperimentConfig]:
    """Make policy, rollouts and verdicts by commands; return one arm for each baseline."""
    asymrl = (sys.executable, "-m", "asymrl.main")
    where = f"runs_dir={work / 'runs'}"
    for command in ("init", "generate", "score", "train"):
        more = ("optim.steps=1", *TRAIN) if command == "train" else ()
        subprocess.run([*asymrl, command, where, *SET, *more], check=True)
    (resolved,) = (work / "runs/cups/train").glob("*/config.json")
    values = files.read_json(resolved)
    values["optim"]["steps"] = steps
    return [parse_config({**values, "baseline": baseline}) for baseline in BASELINES]


def measure(arms: Sequence[ExperimentConfig], parent: Path) -> list[tuple[float, float]]:
    """Return for each step the summed seconds of all arms alone, and the seconds side by side."""
    runs = [*([arm] for arm in arms), arms]
    turns = Turns(len(runs))
    with hush_output(), ThreadPoolExecutor(len(runs)) as pool:
        done = [
            pool.submit(train, run, parent / str(number), turns, number)
            for number, run in enumerate(runs)
        ]
    for each in done:
        each.result()
    counted = slice(WARM_UP, -1)  # the last step publishes a checkpoint
    *alone, together = (seconds[counted] for seconds in turns.seconds)
    return list(zip(map(sum, zip(*alone, strict=True)), together, strict=True))


class Turns:
    """Lets runs in threads take steps in turn; `seconds` holds the times of each run's steps."""

    def __init__(self, runs: int):
        self.seconds: list[list[float]] = [[] for _ in range(runs)]
        self._order = list(range(runs))
        self._changed = threading.Condition()
        self._began = 0.0

    def take(self, run: int) -> None:
        """Wait for a run's turn, and start the clock."""
        with self._changed:
            self._changed.wait_for(lambda: self._order[0] == run)
        self._began = time.process_time()

    def pass_on(self, run: int, *, is_last: bool = False) -> None:
        """Stop the clock, and pass the turn to the next run; the last time belongs to no step."""
        seconds = time.process_time() - self._began
        with self._changed:
            self._order.remove(run)
            if not is_last:
                self.seconds[run].append(seconds)
                self._order.append(run)
            self._changed.notify_all()


def train(arms: Sequence[ExperimentConfig], parent: Path, turns: Turns, run: int) -> None:
    """Train arms side by side from mu, in new directories, one step in each turn."""
    left = 0

    def log(metrics: dict[str, object]) -> None:
        nonlocal left
        left = (left or len(arms)) - 1
        if not left:  # all arms have taken the step
            turns.pass_on(run)
            turns.take(run)

    turns.take(run)
    try:
        found = inputs.find_inputs(arms[0])
        checkpoint, scored = found.checkpoint, found.scored
        trained = [
            Training(
                arm, arm_store(arm, checkpoint=checkpoint, scored=scored, parent=parent), log=log
            )
            for arm in arms
        ]
        failed = train_side_by_side(trained, checkpoint=checkpoint, scored=scored)
        assert not failed, failed
    finally:
        turns.pass_on(run, is_last=True)


if __name__ == "__main__":
    main()
