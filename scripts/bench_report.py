"""Time the summary and the report of a large experiment: a hundred settings with three seeds.

    python scripts/bench_report.py [--settings 100 --seeds 3 --prompts 400 --samples 2] [--keep DIR]

The data is synthetic, but written by the real store and contracts: a plan, a manifest and receipts
for every stage, an evaluation of every checkpoint, metrics of every tenth step. The summary and
`write_report` then read the directory like that of a sweep.
"""

import argparse
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from asymreinforce.config import ExperimentConfig, Split
from asymreinforce.data import contracts, files
from asymreinforce.data.store import Store
from asymreinforce.experiment.arms import TrainedArm
from asymreinforce.experiment.evaluated_steps import EvaluatedStep
from asymreinforce.experiment.summary import write_summary
from asymreinforce.report.write import write_report
from asymreinforce.rewards.sums import facts_of, sums_of

STEPS = tuple(range(0, 301, 30))
DIAGNOSTICS_EVERY = 10
BEHAVIOUR = 0.4
TRAIN_PROMPTS = 50


class Size(NamedTuple):
    """The size of the synthetic experiment."""

    settings: int
    seeds: int
    prompts: int
    samples: int


def make(directory: Path, size: Size) -> list[EvaluatedStep]:
    """Write the experiment; return its evaluations, as a sweep passes them to the summary."""
    base = configuration(directory)
    prompts = Store(directory / "prompts", {"stage": "prompts"})
    ids = {"held_out": _ids("h", size.prompts), "train": _ids("t", TRAIN_PROMPTS)}
    names = [f"{split}.parquet" for split in ids]
    prompts.plan(names)
    for name, of_split in zip(names, ids.values(), strict=True):
        publish(prompts, name, contracts.PROMPTS, _questions(of_split))
    prompts.close()
    stores = {
        split: Store(directory / "evaluations", {"stage": "evaluations", "split": split})
        for split in ids
    }
    found = []
    baselines = np.linspace(-0.5, 0.49, size.settings).round(3).tolist()
    for baseline in baselines:
        for seed in range(size.seeds):
            config = base.model_copy(update={"baseline": baseline, "seed": seed})
            found += list(_arm(config, stores, ids, size))
    for split, store in stores.items():
        store.plan(dict.fromkeys(item.shard for item in found if item.split == split))
        store.close()
    return found


def _arm(
    config: ExperimentConfig, stores: dict[str, Store], ids: dict[str, list[str]], size: Size
) -> Iterator[EvaluatedStep]:
    """Publish the metrics of an arm and the evaluations of its checkpoints."""
    store = Store(
        config.directory / "train",
        {"stage": "train", "baseline": config.baseline, "seed": config.seed},
    )
    shards = [f"metrics/step-{step:06d}.parquet" for step in STEPS[1:]]
    store.plan(shards)
    files.publish_json(store.directory / "config.json", config.model_dump(mode="json"))
    for last, name in zip(STEPS[1:], shards, strict=True):
        first = 0 if last == STEPS[1] else last - STEPS[1] + DIAGNOSTICS_EVERY
        steps = np.arange(first, last + 1, DIAGNOSTICS_EVERY)
        publish(store, name, contracts.METRICS, _metrics(config.baseline, steps))
    store.close({"steps": STEPS[-1]})
    store.record({"seconds": 20.0})
    arm = TrainedArm(store, config)
    for split, evaluations in stores.items():
        named: Split = "train" if split == "train" else "held_out"
        for step in STEPS:  # the first arm's step 0 is mu, which all share
            shard = f"{store.hash}-{step}.parquet" if step else "mu.parquet"
            if not evaluations.receipt(shard):
                rows = _evaluation(config, step, ids[split], size.samples)
                publish_evaluation(evaluations, shard, rows, config)
            yield EvaluatedStep(arm, named, step, evaluations, shard, config, Path())


def publish(store: Store, name: str, contract: contracts.Contract, columns: dict[str, Any]) -> None:
    """Publish rows of a contract as a shard of a store, unless an earlier run did."""
    if store.receipt(name):
        return
    rows: pa.Table = contracts.make_table(contract, columns)

    def write(path: Path) -> None:
        contracts.write_table(path, contract, rows, identity=store.hash)

    store.publish(name, write)


def publish_evaluation(
    store: Store, name: str, columns: dict[str, Any], config: ExperimentConfig
) -> None:
    """Publish an evaluation with its sums in the receipt, as the stage does."""
    rows: pa.Table = contracts.make_table(contracts.EVALUATIONS, columns)
    sums = sums_of(rows, config.reward, where=name)

    def write(path: Path) -> None:
        contracts.write_table(path, contracts.EVALUATIONS, rows, identity=store.hash)

    store.publish(name, write, facts={"rows": len(rows), **facts_of(sums, config.reward)})


def configuration(directory: Path) -> ExperimentConfig:
    """Return a small valid configuration whose experiment is this directory."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.fixtures.experiments import small_config

    config = small_config(directory.parent, policy="embedded")
    return config.model_copy(update={"name": directory.name})


def _ids(letter: str, count: int) -> list[str]:
    return [f"{letter}{number:05d}" for number in range(count)]


def _questions(ids: list[str]) -> dict[str, Any]:
    return {
        "prompt_id": ids,
        "question": [f"Ball under {len(id_)} Swaps: 4-3 5-4 3-1 3-2 =" for id_ in ids],
        "gold_answer": ["1" for _ in ids],
    }


def _metrics(baseline: float, steps: np.ndarray) -> dict[str, Any]:
    drift = np.expm1((0.004 + 0.03 * max(0.0, baseline + 0.1)) * steps)
    return {
        "step": steps,
        "sequences": np.full(len(steps), 128),
        "skipped_sequences": np.zeros(len(steps), int),
        "loss": -0.1 * drift,
        "grad_norm": 1 + drift,
        "slice_logp_correct": -1.2 - (1 + baseline) * drift,
        "slice_logp_incorrect": -2 - 3 * (1.2 + baseline) * drift,
        "token_entropy": 0.5 * np.exp(-0.3 * drift),
        "kl": 2 * drift,
        "ess": 1 / (1 + drift),
    }


def _accuracy(config: ExperimentConfig, step: int) -> float:
    share = step / STEPS[-1]
    last = 0.9 + 0.3 * config.baseline if config.baseline < 0 else 0.25
    luck = 0.02 * math.sin(37 * config.seed + 100 * config.baseline)
    return BEHAVIOUR + share * (last - BEHAVIOUR + luck)


def _evaluation(
    config: ExperimentConfig, step: int, ids: list[str], samples: int
) -> dict[str, Any]:
    seed = [round(1000 * (config.baseline + 1)), config.seed, step]
    generator = np.random.default_rng(seed if step else 0)
    rows = len(ids) * samples
    right = generator.random(rows) < _accuracy(config, step)
    answers = np.where(right, "1", generator.integers(2, 6, rows).astype(str)).tolist()
    return {
        "prompt_id": np.repeat(ids, samples),
        "sample": np.tile(np.arange(samples), len(ids)),
        "tokens": generator.integers(3, 13, rows),
        "finish_reason": ["stop"] * rows,
        "text": [f" Steps: 4 5 5 3 1 Answer: {answer}" for answer in answers],
        "status": ["ok"] * rows,
        "logp": -generator.exponential(2.0, rows),
        "score": right.astype(float),
        "extracted_answer": answers,
    }


class Cost(NamedTuple):
    """The cost of a call."""

    seconds: float
    cpu_seconds: float


def timed(call: Callable[[], Any]) -> Cost:
    """Return the wall-clock and CPU seconds of a call, with those of its child processes."""
    clock, cpu = time.perf_counter(), _cpu()
    call()
    return Cost(time.perf_counter() - clock, _cpu() - cpu)


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Make the directory, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name, default in (("settings", 100), ("seeds", 3), ("prompts", 400), ("samples", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", type=Path, help="make it here, and use it again the next time")
    wanted = vars(parser.parse_args())
    keep = wanted.pop("keep")
    size = Size(**wanted)
    with tempfile.TemporaryDirectory() as temporary:
        directory = (keep or Path(temporary)) / "large"
        made = timed(lambda: evaluated.extend(make(directory, size)))
        print(
            f"{size.settings} settings of {size.seeds} seeds, {len(STEPS)} checkpoints, "
            f"{size.prompts} prompts of {size.samples} samples; made in {made.seconds:.0f} s"
        )
        summary = timed(lambda: write_summary(evaluated[0].config, evaluated))
        page = timed(lambda: write_report(directory))
        megabytes = (directory / "report.html").stat().st_size / 1e6
    print("\n| step | s | CPU s |\n| --- | --- | --- |")
    for name, cost in (("summary", summary), ("report", page)):
        print(f"| {name} | {cost.seconds:.1f} | {cost.cpu_seconds:.1f} |")
    seconds = summary.seconds + page.seconds
    print(f"\n{seconds:.1f} s in all, page {megabytes:.2f} MB")


evaluated: list[EvaluatedStep] = []

if __name__ == "__main__":
    main()
