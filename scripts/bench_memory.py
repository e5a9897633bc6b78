"""Measure how time and memory of the stages grow with the number of completions.

    python scripts/bench_memory.py            # score and read, 10,000 and 1,000,000 rows
    python scripts/bench_memory.py --steps generate score read summarise \
        --rows 1000 10000 100000 1000000      # all of it, 8 samples a prompt

`generate` uses a fake engine that looks answers up, so that the rest is measured: encoding,
decoding, parquet, checksums. `summarise` reads evaluations of 4,000 completions each.

Each step runs in a separate process. The memory is the peak resident memory above the idle process
after its imports and a warm-up. `reward.memory_limit_mb` bounds grader processes separately.
"""

import argparse
import contextlib
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

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/fixtures makes the synthetic data

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.progress import silent_bar
from asymreinforce.stages.score import score

SAMPLES = 8
PROMPTS_PER_SHARD = 600
PROMPTS_PER_STEP = 16
ROWS_PER_EVALUATION = 4_000
SMALLEST, LARGEST = 10_000, 1_000_000
ALLOWED_RATIO = 1.3


def make(directory: Path, rows: int) -> None:
    """Write synthetic prompts and rollouts."""
    from tests.fixtures import made_up_rollouts

    made_up_rollouts.make(
        directory, prompts=rows // SAMPLES, samples=SAMPLES, prompts_per_shard=PROMPTS_PER_SHARD
    )
    make_extra(directory, rows)


def score_all(directory: Path) -> int:
    """Score every rollout; return their number."""
    return score(
        rollouts=only_store(directory / "rollouts"),
        prompts=directory / "prompts" / "train.parquet",
        parent=directory / "verdicts",
        grader="final_answer",
        reward=RewardConfig(workers=2),
        progress=silent_bar,
    ).facts.rows


def read_all(directory: Path) -> int:
    """Read an epoch in the trainer's order, step by step; return the number of rows."""
    rollouts, verdicts = only_store(directory / "rollouts"), only_store(directory / "verdicts")
    scored = ScoredRollouts(rollouts, verdicts, samples=SAMPLES)
    batches = scored.batches(prompts=PROMPTS_PER_STEP, seed=0)
    steps = scored.prompts // PROMPTS_PER_STEP
    return sum(len(rows.prompts) for rows in itertools.islice(batches, steps))


def make_evaluations(directory: Path, rows: int) -> None:
    """Write synthetic evaluations, one for each checkpoint, of 500 prompts with 8 samples."""
    directory.mkdir()
    size = min(rows, ROWS_PER_EVALUATION)
    prompt_B = [f"p-{row // SAMPLES:07d}" for row in range(size)]
    columns = {
        "prompt_id": prompt_B,
        "sample": [row % SAMPLES for row in range(size)],
        "tokens": [3 + row % 5 for row in range(size)],
        "finish_reason": ["length" if row % 30 == 0 else "stop" for row in range(size)],
        "text": [f" Answer: {row % 7}" for row in range(size)],
        "status": ["ok"] * size,
        "logp": [-0.1 * (row % 9) for row in range(size)],
        "score": [float(row % 3 == 0) for row in range(size)],
        "extracted_answer": [str(row % 7) for row in range(size)],
    }
    table = contracts.make_table(contracts.EVALUATIONS, columns)
    for number in range(rows // size):
        path = directory / f"{number:04d}.parquet"
        contracts.write_table(path, contracts.EVALUATIONS, table, identity="made-up")


def generate_all(directory: Path) -> int:
    """Generate a set of rollouts by the fake engine; return the number of rows."""
    from asymreinforce.config import parse_config
    from asymreinforce.model.checkpoint import load_tokenizer
    from asymreinforce.stages.generate import generate
    from tests.fixtures.experiments import small_values
    from tests.fixtures.fake_engine import FakeEngine

    policy, prompts = directory / "checkpoint", only_store(directory / "questions")
    settings = small_values(
        directory / "runs",
        policy=policy,
        sampling__samples_per_prompt=SAMPLES,
        sampling__samples_per_block=SAMPLES,
        sampling__prompts_per_shard=PROMPTS_PER_SHARD,
        optim__trajectories_per_step=SAMPLES,
    )
    store = generate(
        parse_config(settings),
        checkpoint=policy,
        prompts=prompts,
        engine=FakeEngine(load_tokenizer(policy)),
        parent=directory / "generated",
    )
    receipts = (store.receipt(name) for name in store.planned)
    return sum(int(receipt.facts["rows"]) for receipt in receipts if receipt)


def summarise_all(directory: Path) -> int:
    """Read every evaluation and keep its sums, as the summary does; return the number of rows."""
    from asymreinforce.rewards.sums import COLUMNS, sums_of

    paths = sorted((directory / "evaluations").glob("*.parquet"))
    found = [
        sums_of(
            contracts.read_table(path, contracts.EVALUATIONS, columns=COLUMNS),
            RewardConfig(),
            where=str(path),
        )
        for path in paths
    ]
    return sum(int(one.kept_P.sum()) for one in found)


STEPS: dict[str, Callable[[Path], int]] = {
    "generate": generate_all,
    "score": score_all,
    "read": read_all,
    "summarise": summarise_all,
}


def warm(step: str) -> None:
    """Run a step once on few rows, so that imports and caches do not count as growth."""
    if step not in ("generate", "summarise"):
        return
    with tempfile.TemporaryDirectory() as folder:
        make_extra(Path(folder), 4 * SAMPLES)
        STEPS[step](Path(folder))


def make_extra(directory: Path, rows: int) -> None:
    """Write the inputs of `generate` and `summarise`."""
    from asymreinforce.data.store import Store
    from tests.fixtures import made_up_rollouts
    from tests.fixtures.checkpoints import write_random_policy

    write_random_policy(directory / "checkpoint", seed=0)
    store = Store(directory / "questions", {"stage": "prompts", "prompts": rows // SAMPLES})
    path = made_up_rollouts.write_prompts(directory / "prompts.parquet", rows // SAMPLES)
    store.plan(["train.parquet"])
    store.publish("train.parquet", lambda place: place.write_bytes(path.read_bytes()))
    make_evaluations(directory / "evaluations", rows)


def measure(step: str, directory: Path) -> None:
    """Run a step and print its rows, peak above idle in MB, seconds, and CPU seconds."""
    warm(step)
    gc.collect()
    forget_peak()
    idle, started, cpu = peak_mb(), time.monotonic(), cpu_s()
    rows = STEPS[step](directory)
    seconds = time.monotonic() - started
    print(json.dumps([rows, peak_mb() - idle, seconds, cpu_s() - cpu]))


def only_store(parent: Path) -> Store:
    """Open the one stage directory below a folder."""
    (directory,) = (path for path in parent.iterdir() if path.is_dir())
    return Store.open(directory)


def forget_peak() -> None:
    """Reset the peak to the present resident memory, since the warm-up's peak would hide growth."""
    with contextlib.suppress(OSError):  # if the kernel refuses, the peak is of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Return the peak resident memory of this process since `forget_peak`, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def cpu_s() -> float:
    """Return the CPU seconds of this process and of the grader processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run(step: str, directory: str, rows: int) -> str:
    """Run one step in a separate process; return its output."""
    command = [sys.executable, __file__, "--step", step, directory, str(rows)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Print a table; return 1 if a ratio of peaks exceeds the allowed ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[SMALLEST, LARGEST])
    parser.add_argument("--steps", choices=STEPS, nargs="+", default=["score", "read"])
    parser.add_argument("--allowed", type=float, default=ALLOWED_RATIO, help="of the peaks")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step, directory, rows = arguments.step
        make(Path(directory), int(rows)) if step == "make" else measure(step, Path(directory))
        return 0
    above: dict[str, dict[int, float]] = {step: {} for step in arguments.steps}
    print("| step | rows | MB above idle | s | CPU s | rows/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as directory:
            run("make", directory, rows)
            for step in arguments.steps:
                counted, peak, seconds, cpu = json.loads(
                    run(step, directory, rows).splitlines()[-1]
                )
                above[step][rows] = peak
                print(
                    f"| {step} | {counted:,} | {peak:.1f} | {seconds:.1f} | {cpu:.1f} | "
                    f"{counted / seconds:,.0f} |",
                    flush=True,
                )
    # Below ten thousand rows some fixed costs are still missing, so growth is measured from there.
    ratios = {
        step: peaks[max(peaks)]
        / peaks[min((n for n in peaks if n >= SMALLEST), default=min(peaks))]
        for step, peaks in above.items()
    }
    for step, ratio in ratios.items():
        print(f"{step}: ratio {ratio:.2f} (at most {arguments.allowed} allowed)")
    return int(max(ratios.values()) > arguments.allowed)


if __name__ == "__main__":
    sys.exit(main())
