"""A small experiment directory with made-up numbers, shaped like those of the embedded default."""

import json
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data import contracts, files

BASELINES = (-0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
SEEDS = (0, 1, 2)
STEPS = tuple(range(0, 301, 30))
BEHAVIOUR = 0.405
LAST = {-0.5: 0.74, -0.3: 0.96, -0.2: 0.94, -0.1: 0.88, 0.0: 0.26, 0.1: 0.21, 0.2: 0.2, 0.3: 0.19}
PEAK = {0.0: 0.94, 0.1: 0.92, 0.2: 0.9, 0.3: 0.86}
PROMPTS = 40
NAMES = (
    "arm",
    "algorithm",
    "baseline",
    "baseline_reference",
    "seed",
    "policy_seed",
    "sampling_seed",
)


class MadeUpArm(NamedTuple):
    """The settings of an arm; its numbers follow from them."""

    baseline: float
    seed: int
    algorithm: str = "asymre"
    reference: str = "group_mean"
    overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def id(self) -> str:
        extra = "".join(f"-{key}-{value}" for key, value in self.overrides)
        return f"{self.algorithm}-{self.reference}-{self.baseline:+g}-{self.seed}{extra}"

    def accuracy(self, step: int) -> float:
        share, noise = step / STEPS[-1], random.Random(f"{self.id} {step}").uniform(-0.02, 0.02)
        if self.algorithm != "asymre":
            return BEHAVIOUR + 0.26 * share + (noise if step else 0)
        last = LAST.get(self.baseline, 0.2 if self.baseline >= 0 else 0.8)
        risen = BEHAVIOUR + (PEAK.get(self.baseline, last) - BEHAVIOUR) * min(1, 3 * share)
        fallen = max(0.0, share - 0.4) / 0.6
        return min(1.0, risen + (last - risen) * fallen + (noise if step else 0))


def sweep(baselines: Iterable[float] = BASELINES, seeds: Sequence[int] = SEEDS) -> list[MadeUpArm]:
    """Return the arms of a sweep over baselines and seeds."""
    return [MadeUpArm(baseline, seed) for baseline in baselines for seed in seeds]


def make_experiment(
    directory: Path,
    arms: Sequence[MadeUpArm],
    *,
    evaluated: bool = True,
    summarised: bool = True,
    text: str | None = None,
    metric_files: int = 10,
) -> Path:
    """Write an experiment directory; `text` replaces every completion, question and answer."""
    make_prompts(directory, text=text)
    for arm in arms:
        make_training(directory, arm, metric_files=metric_files)
    if evaluated:
        make_curves(directory, arms, text=text)
    if summarised:
        make_summary(directory, arms)
    return directory


def make_prompts(directory: Path, *, text: str | None = None) -> None:
    """Write the held-out prompts."""
    path = files.make_directory(directory / "prompts" / "0123456789abcdef") / "held_out.parquet"
    rows = range(PROMPTS)
    columns: dict[str, Iterable[Any]] = {
        "prompt_id": [f"prompt-{i}" for i in rows],
        "question": [text or f"Ball under {i % 5 + 1} Swaps: 4-3 5-4 3-1 3-2 =" for i in rows],
        "gold_answer": [text or str(i % 5 + 1) for i in rows],
    }
    contracts.write_table(
        path, contracts.PROMPTS, contracts.make_table(contracts.PROMPTS, columns), identity=""
    )


def make_training(directory: Path, arm: MadeUpArm, *, metric_files: int = 10) -> None:
    """Write an arm's plan, configuration and metrics."""
    place = files.make_directory(directory / "train" / arm.id / "metrics").parent
    identity = {
        "stage": "train", "algorithm": arm.algorithm, "baseline": arm.baseline,
        "baseline_reference": arm.reference, "seed": arm.seed, "rollouts": "9f" * 8,
    }  # fmt: skip
    files.publish_json(place / "plan.json", {"identity": identity, "hash": "", "shards": []})
    files.publish_json(place / "config.json", configuration(arm))
    every = STEPS[-1] // metric_files
    for last in range(every, STEPS[-1] + 1, every):
        steps = range(last - every + (10 if last > every else 0), last + 1, 10)
        write_metrics(place / "metrics" / f"step-{last:06d}.parquet", arm, steps)


def write_metrics(path: Path, arm: MadeUpArm, steps: Iterable[int]) -> None:
    """Write made-up diagnostics: above the critical value everything drifts away exponentially."""
    rate = 0.004 + 0.055 * max(0.0, arm.baseline + 0.1)
    drift = [math.expm1(rate * step) for step in steps]
    columns: dict[str, Iterable[Any]] = {
        "step": list(steps),
        "sequences": [128 for _ in drift],
        "skipped_sequences": [0 for _ in drift],
        "loss": [-0.1 * value for value in drift],
        "slice_logp_correct": [-1.2 - (1 + arm.baseline) * value for value in drift],
        "slice_logp_incorrect": [-2.0 - 3 * (1.2 + arm.baseline) * value for value in drift],
        "token_entropy": [0.5 * math.exp(-0.3 * value) + 0.02 * value for value in drift],
        "kl": [2 * value for value in drift],
        "ess": [1 / (1 + value) for value in drift],
    }
    table = contracts.make_table(contracts.METRICS, columns)
    contracts.write_table(path, contracts.METRICS, table, identity="")


def make_curves(directory: Path, arms: Sequence[MadeUpArm], *, text: str | None = None) -> None:
    """Write evaluations of mu and of each arm's last checkpoint, and the curves of all."""
    rows = []
    for arm in arms:
        for step in STEPS:
            place = (
                f"evaluations/feedfacefeedface/{'mu' if step == 0 else f'{arm.id}-{step}'}.parquet"
            )
            if step in (0, STEPS[-1]) and not (directory / place).exists():
                write_evaluation(directory / place, arm, step, text=text)
            for split in ("held_out", "train"):
                rows.append(curve_row(arm, split, step, place))
    columns: dict[str, Iterable[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    table = contracts.make_table(contracts.CURVES, columns)
    contracts.write_table(directory / "curves.parquet", contracts.CURVES, table, identity="")


def write_evaluation(path: Path, arm: MadeUpArm, step: int, *, text: str | None = None) -> None:
    """Write an evaluation of two samples a prompt."""
    files.make_directory(path.parent)
    draw = random.Random(f"{arm.id} {step}")
    keys = [(f"prompt-{i}", sample) for i in range(PROMPTS) for sample in range(2)]
    right = [draw.random() < arm.accuracy(step) for _ in keys]
    answers = [
        str(int(id_.split("-")[1]) % 5 + (1 if ok else 2))
        for (id_, _), ok in zip(keys, right, strict=True)
    ]
    columns: dict[str, Iterable[Any]] = {
        "prompt_id": [id_ for id_, _ in keys],
        "sample": [sample for _, sample in keys],
        "tokens": [4 for _ in keys],
        "finish_reason": ["stop" for _ in keys],
        "text": [text or f" Steps: 4 5 5 Answer: {answer}" for answer in answers],
        "status": ["ok" for _ in keys],
        "score": [float(ok) for ok in right],
        "extracted_answer": [text or answer for answer in answers],
    }
    table = contracts.make_table(contracts.EVALUATIONS, columns)
    contracts.write_table(path, contracts.EVALUATIONS, table, identity="")


def names(arm: MadeUpArm) -> dict[str, Any]:
    """Return the columns that CURVES and SUMMARY name an arm by."""
    values = (arm.id, arm.algorithm, arm.baseline, arm.reference, arm.seed, 0, 0)
    return dict(zip(NAMES, values, strict=True))


def curve_row(arm: MadeUpArm, split: str, step: int, place: str) -> dict[str, Any]:
    """Return a row of CURVES."""
    shift = 0.01 if split == "train" else 0.0
    return {
        **names(arm),
        "split": split, "step": step, "prompts": PROMPTS, "k": 2,
        "accuracy": min(1.0, arm.accuracy(step) + shift), "accuracy_se": 0.018,
        "pass_at_k": min(1.0, arm.accuracy(step) + 0.1), "distinct_answers": 1.4, "length": 4.2,
        "truncated": 0.0, "entropy": 1.6 - 0.004 * step, "evaluation": place,
    }  # fmt: skip


def make_summary(directory: Path, arms: Sequence[MadeUpArm]) -> None:
    """Write the summary."""
    rows = [summary_row(arm) for arm in arms]
    columns: dict[str, Iterable[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    table = contracts.make_table(contracts.SUMMARY, columns)
    contracts.write_table(directory / "summary.parquet", contracts.SUMMARY, table, identity="")


def summary_row(arm: MadeUpArm) -> dict[str, Any]:
    """Return a row of SUMMARY."""
    accuracies = {step: arm.accuracy(step) for step in STEPS}
    peak = max(STEPS, key=lambda step: accuracies[step])
    last = accuracies[STEPS[-1]]
    overrides = {"baseline": arm.baseline, "seed": arm.seed, **dict(arm.overrides)}
    return {
        **names(arm),
        "overrides": json.dumps(overrides), "step": STEPS[-1], "behaviour_accuracy": BEHAVIOUR,
        "accuracy": last, "accuracy_se": 0.018, "difference_se": 0.02,
        "peak_accuracy": accuracies[peak], "peak_step": peak,
        "k": 2, "pass_at_k": min(1.0, last + 0.1),
        "distinct_answers": 1.4, "length": 4.2, "truncated": 0.0,
        "verdict": "improved" if last > BEHAVIOUR + 0.04 else "collapsed",
        "entropy": 0.4, "logp_correct": -1.5, "logp_incorrect": -30.2, "kl": 12.5, "ess": 0.31,
        "seconds": 17.2, "collapse_step": None if last > BEHAVIOUR else 180,
    }  # fmt: skip


def configuration(arm: MadeUpArm) -> dict[str, Any]:
    """Return a resolved configuration as `config.json` has it, a part of the real one."""
    config: dict[str, Any] = {
        "name": "made-up", "runs_dir": "runs", "baseline": arm.baseline,
        "baseline_reference": arm.reference, "seed": arm.seed,
        "task": {"name": "cups", "seed": 0, "train": 4800, "validation": 400, "held_out": 400},
        "policy": {"source": "embedded", "seed": 0, "context": 64},
        "sampling": {"samples_per_prompt": 8, "temperature": 1.0, "seed": 0, "max_tokens": 12},
        "reward": {"correct": 1.0, "incorrect": -1.0, "correct_at": 1.0},
        "algorithm": {"name": arm.algorithm},
        "optim": {"lr": 1e-4, "betas": [0.9, 0.95], "steps": None},
    }  # fmt: skip
    for key, value in arm.overrides:
        *path, last = key.split(".")
        place = config
        for name in path:
            place = place[name]
        place[last] = value
    return config


def empty(record: Any) -> Any:
    """A record of a NamedTuple's type without a value: what a test does not read is None."""
    return record(**dict.fromkeys(record._fields))
