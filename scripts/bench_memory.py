"""Measure the memory and the rate of the score stage and of the trainer's reader: many rows, few.

    python scripts/bench_memory.py            # 10,000 and 1,000,000 rows, 8 samples a prompt

Each step runs in a process of its own; what counts is the peak resident memory above that of the
idle process, its imports done. Graders' processes are bounded apart, by `reward.memory_limit_mb`.
"""

import argparse
import gc
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from asymreinforce.config import RewardConfig
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.progress import silent
from asymreinforce.stages.score import score

SAMPLES = 8
PROMPTS_PER_SHARD = 600
PROMPTS_PER_STEP = 16
ALLOWED_RATIO = 1.3


def make(directory: Path, rows: int) -> None:
    """Write synthetic prompts and rollouts."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.stages import made_up_rollouts

    made_up_rollouts.make(
        directory, prompts=rows // SAMPLES, samples=SAMPLES, prompts_per_shard=PROMPTS_PER_SHARD
    )


def score_all(directory: Path) -> int:
    """Score every rollout; return their number."""
    return score(
        rollouts=only_store(directory / "rollouts"),
        prompts=directory / "prompts" / "train.parquet",
        parent=directory / "verdicts",
        grader="final_answer",
        reward=RewardConfig(workers=2),
        progress=silent,
    ).facts.rows


def read_all(directory: Path) -> int:
    """Read an epoch in the trainer's order, step by step; return the number of rows."""
    rollouts, verdicts = only_store(directory / "rollouts"), only_store(directory / "verdicts")
    scored = ScoredRollouts(rollouts, verdicts, samples=SAMPLES)
    batches = scored.batches(prompts=PROMPTS_PER_STEP, seed=0)
    steps = scored.prompts // PROMPTS_PER_STEP
    return sum(len(rows.prompts) for rows in itertools.islice(batches, steps))


STEPS: dict[str, Callable[[Path], int]] = {"score": score_all, "read": read_all}


def measure(step: str, directory: Path) -> None:
    """Run a step and print its rows, its peak above idle in MB, and its seconds."""
    gc.collect()
    idle, started = peak_mb(), time.monotonic()
    rows = STEPS[step](directory)
    print(json.dumps([rows, peak_mb() - idle, time.monotonic() - started]))


def only_store(parent: Path) -> Store:
    """Open the one stage directory below a folder."""
    (directory,) = (path for path in parent.iterdir() if path.is_dir())
    return Store.open(directory)


def peak_mb() -> float:
    """The peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(step: str, directory: str, rows: int) -> str:
    """Run one step in a process of its own; return what it prints."""
    command = [sys.executable, __file__, "--step", step, directory, str(rows)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Print a table; exit with 1 where a ratio is above what is allowed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs=2, default=[10_000, 1_000_000])
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step, directory, rows = arguments.step
        make(Path(directory), int(rows)) if step == "make" else measure(step, Path(directory))
        return 0
    above: dict[str, list[float]] = {step: [] for step in STEPS}
    print("| step | rows | MB above idle | s | rows/s |\n| --- | --- | --- | --- | --- |")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as directory:
            run("make", directory, rows)
            for step in STEPS:
                counted, peak, seconds = json.loads(run(step, directory, rows).splitlines()[-1])
                above[step].append(peak)
                rate = counted / seconds
                print(f"| {step} | {counted:,} | {peak:.1f} | {seconds:.1f} | {rate:,.0f} |")
    ratios = {step: many / few for step, (few, many) in above.items()}
    for step, ratio in ratios.items():
        print(f"{step}: ratio {ratio:.2f} (at most {ALLOWED_RATIO} allowed)")
    return int(max(ratios.values()) > ALLOWED_RATIO)


if __name__ == "__main__":
    sys.exit(main())
