"""CPU time of eight baselines in one invocation against one: start-up once, and eight times steps.

    python scripts/bench_arms.py [--steps 60] [--repeats 3]

The embedded default's policy and a small set of its rollouts, made first. Each figure is the
processor time of a whole process, its imports included: one arm of one step, one arm of all steps,
and eight arms side by side (`sweep.together=8`). With one-step time s and step time t from the
first two, eight arms should cost s + 8 t for every further step.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from measures import in_child, median, table

BASELINES = (-0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
SET = ("engine=transformers", "task.train=480", "sampling.prompts_per_shard=240")
TRAIN = ("train.validation_prompts=0", "train.checkpoint_every=1000")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(train(*chosen.child)))
        return
    with tempfile.TemporaryDirectory() as work:
        resolved = prepare(Path(work))
        rounds = [measure(resolved, chosen.steps, number) for number in range(chosen.repeats)]
    start, one, eight = (median(values) for values in zip(*rounds, strict=True))
    step = (one - start) / (chosen.steps - 1)
    expected = start + 8 * step * chosen.steps
    rows = [
        ["one arm, one step (start-up)", f"{start:.1f}"],
        [f"one arm, {chosen.steps} steps", f"{one:.1f}"],
        [f"eight arms, {chosen.steps} steps", f"{eight:.1f}"],
        ["start-up + 8 x steps", f"{expected:.1f}"],
        ["measured over expected", f"{eight / expected:.2f}"],
    ]
    print(table(["process", "CPU s, median"], rows))


def prepare(work: Path) -> Path:
    """Make policy, rollouts and verdicts by the commands, and return an arm's resolved settings."""
    asymrl = Path(sys.executable).with_name("asymrl")
    where = f"runs_dir={work / 'runs'}"
    for command in ("init", "generate", "score", "train"):
        more = ("optim.steps=1", *TRAIN) if command == "train" else ()
        subprocess.run([asymrl, command, where, *SET, *more], check=True)
    (resolved,) = (work / "runs/cups/train").glob("*/config.json")
    return resolved


def measure(resolved: Path, steps: int, number: int) -> tuple[float, float, float]:
    """Return the seconds of the three processes, each with a data order of its own."""

    def child(count: int, arms: int) -> float:
        seed = 1000 * number + 10 * arms + (count > 1)
        words = (str(resolved), str(count), str(arms), str(seed))
        return float(in_child(["--child", *words]))

    return child(1, 1), child(steps, 1), child(steps, len(BASELINES))


def train(resolved: str, steps: str, arms: str, seed: str) -> float:
    """Train arms side by side in this process; return the processor time that it has taken."""
    from asymreinforce.config import parse
    from asymreinforce.experiment.arm import run_lot

    values = json.loads(Path(resolved).read_text())
    values["optim"]["steps"], values["seed"] = int(steps), int(seed)
    configs = [parse({**values, "baseline": baseline}) for baseline in BASELINES[-int(arms) :]]
    results = run_lot(configs)
    assert not any(result.error for result in results), results
    return time.process_time()


if __name__ == "__main__":
    main()
