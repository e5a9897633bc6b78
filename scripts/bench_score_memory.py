"""Measure the score stage's memory and rate: many rollouts against few.

    python scripts/bench_score_memory.py      # 10,000 and 1,000,000 rows, 8 samples a prompt

Each size runs in a process of its own; what counts is the peak resident memory above that of the
idle process, its imports done. Graders' processes are bounded apart, by `reward.memory_limit_mb`.
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = 8
PROMPTS_PER_SHARD = 600
ALLOWED_RATIO = 1.3


def make(directory: Path, rows: int) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.stages import made_up_rollouts

    made_up_rollouts.make(
        directory, prompts=rows // SAMPLES, samples=SAMPLES, prompts_per_shard=PROMPTS_PER_SHARD
    )


def measure(directory: Path) -> None:
    from asymreinforce.config import RewardConfig
    from asymreinforce.data.store import Store
    from asymreinforce.progress import silent
    from asymreinforce.stages.score import score

    (rollouts,) = (path for path in (directory / "rollouts").iterdir() if path.is_dir())
    gc.collect()
    idle = peak_mb()
    started = time.monotonic()
    _, facts = score(
        rollouts=Store.open(rollouts),
        prompts=directory / "prompts" / "train.parquet",
        parent=directory / "verdicts",
        grader="final_answer",
        reward=RewardConfig(workers=2),
        progress=silent,
    )
    seconds = time.monotonic() - started
    print(json.dumps([facts.rows, facts.accuracy, idle, peak_mb() - idle, seconds]))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs=2, default=[10_000, 1_000_000])
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step, directory, rows = arguments.step
        make(Path(directory), int(rows)) if step == "make" else measure(Path(directory))
        return 0
    above = []
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as directory:
            for step in ("make", "measure"):
                command = [sys.executable, __file__, "--step", step, directory, str(rows)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        counted, accuracy, idle, peak, seconds = json.loads(output)
        above.append(peak)
        print(
            f"{counted:>9} rows: {peak:6.1f} MB above the idle {idle:.1f} MB, "
            f"{seconds:.1f} s, {counted / seconds:,.0f} rows/s, accuracy {accuracy:.3f}"
        )
    print(f"ratio {above[1] / above[0]:.2f} (at most {ALLOWED_RATIO} allowed)")
    return int(above[1] > ALLOWED_RATIO * above[0])


if __name__ == "__main__":
    sys.exit(main())
