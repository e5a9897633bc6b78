"""The summary: a row an arm, and a row an evaluated checkpoint, built from what is on disk.

Arms share prompts and evaluation seeds, so differences to mu are paired over prompts.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.config import ExperimentConfig, RewardConfig
from asymreinforce.data import contracts, files
from asymreinforce.errors import InputError
from asymreinforce.experiment.arms import Arm, overrides_of
from asymreinforce.experiment.evaluation import Evaluated, processes
from asymreinforce.rewards.scale import rewards
from asymreinforce.rewards.tally import pass_at_k

SUMMARY_PARQUET, SUMMARY_JSON, CURVES_PARQUET = "summary.parquet", "summary.json", "curves.parquet"
READ = [
    "prompt_id", "sample", "tokens", "finish_reason", "status", "logp", "score", "extracted_answer",
]  # fmt: skip
"""What is summed up of an evaluation: all but the texts."""

MANY = 1000
"""Evaluations from which on other processes help to read them."""
STANDARD_ERRORS = 2.0
PEAK_SHARE = 0.5


class Evaluation(NamedTuple):
    """What one checkpoint did on the prompts of a split (P prompts, k samples each)."""

    accuracy_P: np.ndarray
    """The share of a prompt's judged samples that is correct; NaN where none was judged."""
    k: int
    pass_at_k: float
    entropy: float | None
    """-(1/n) sum log pi(y|x) over its own samples: nats a completion."""
    distinct_answers: float
    length: float
    truncated: float

    @property
    def accuracy(self) -> float:
        """The mean over prompts."""
        return float(np.nanmean(self.accuracy_P))

    @property
    def accuracy_se(self) -> float:
        """The standard error over prompts."""
        return standard_error(self.accuracy_P)


def standard_error(values_P: np.ndarray) -> float:
    """s / sqrt(P) over values that are not NaN; 0 for one, which says nothing about others."""
    values_P = values_P[~np.isnan(values_P)]
    return float(values_P.std(ddof=1) / math.sqrt(len(values_P))) if len(values_P) > 1 else 0.0


def read_evaluation(path: Path, reward: RewardConfig) -> Evaluation:
    """Read a shard of evaluations into what is reported of it."""
    rows = contracts.read(path, contracts.EVALUATIONS, columns=READ)
    truncated_B = pc.equal(rows.column("finish_reason"), "length").to_numpy()
    scale = rewards(
        score_B=rows.column("score").to_numpy(),
        status_B=rows.column("status").to_numpy(zero_copy_only=False),
        truncated_B=truncated_B,
        config=reward,
    )
    prompt_B = _codes(rows.column("prompt_id"))
    count_P = np.bincount(prompt_B, weights=scale.kept_B)
    right_P = np.bincount(prompt_B, weights=scale.correct_B & scale.kept_B)
    judged = count_P > 0
    if not judged.any():
        raise InputError(f"{path}: no completion could be judged; check the task's grader")
    k = int(count_P[judged].min())
    most = int(count_P.max()) + 1
    groups, times = np.unique(most * count_P[judged] + right_P[judged], return_counts=True)
    counted = (divmod(int(group), most) for group in groups)
    chances = [pass_at_k(n=n, c=c, k=k) for n, c in counted]
    logps = rows.column("logp")
    return Evaluation(
        np.divide(right_P, count_P, out=np.full(len(count_P), np.nan), where=judged),
        k,
        float(np.average(chances, weights=times)),
        None if logps.null_count else float(-np.mean(logps.to_numpy())),
        _distinct(prompt_B, rows.column("extracted_answer")) / len(count_P),
        float(np.mean(rows.column("tokens").to_numpy())),
        float(truncated_B.mean()),
    )


def _distinct(prompt_B: np.ndarray, values: pa.ChunkedArray) -> int:
    """Count the distinct pairs of a prompt and a value; a null is none."""
    is_there_B = values.is_valid().to_numpy(zero_copy_only=False)
    code_B = _codes(values.drop_null())
    return len(np.unique(prompt_B[is_there_B].astype(np.int64) * len(values) + code_B))


def _codes(values: pa.ChunkedArray) -> np.ndarray:
    """Number the distinct values."""
    indices: np.ndarray = values.combine_chunks().dictionary_encode().indices.to_numpy()
    return indices


def verdict(
    *, accuracy: float, behaviour_accuracy: float, difference_se: float, peak_accuracy: float
) -> str:
    """`improved`, `collapsed` or `stable`, by a rule fixed before looking.

    improved: above mu by two paired standard errors at the last step; collapsed: below mu by as
    much, or under half of its own peak; else stable.
    """
    difference = accuracy - behaviour_accuracy
    if difference > STANDARD_ERRORS * difference_se:
        return "improved"
    if difference < -STANDARD_ERRORS * difference_se or accuracy < PEAK_SHARE * peak_accuracy:
        return "collapsed"
    return "stable"


def summarise(config: ExperimentConfig, evaluated: Sequence[Evaluated]) -> pa.Table:
    """Write `curves.parquet`, `summary.parquet` and `summary.json`; return the summary."""
    read = _read(config, evaluated)
    of_arm: dict[str, list[Evaluated]] = defaultdict(list)
    for item in evaluated:
        of_arm[item.arm.name].append(item)
    arms = {item.arm.name: item.arm for item in evaluated}
    overrides = overrides_of(list(arms.values()))
    curves: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    for name, arm in arms.items():
        own = of_arm[name]
        of_step = {(item.split, item.step): read[item.store.directory / item.shard] for item in own}
        curves += [
            _curve_row(config, item, of_step[item.split, item.step])
            for item in sorted(own, key=lambda item: (item.split, item.step))
        ]
        steps = {
            step: found
            for (split, step), found in of_step.items()
            if split == config.evaluation.split
        }
        summary.append(_summary_row(arm, steps, json.dumps(overrides[name], sort_keys=True)))
    summary.sort(key=lambda row: (row["algorithm"], row["baseline"], row["seed"], row["arm"]))
    table = _table(contracts.SUMMARY, summary)
    files.remove_leftovers(config.directory, below=False)
    _publish(config.directory / CURVES_PARQUET, contracts.CURVES, _table(contracts.CURVES, curves))
    _publish(config.directory / SUMMARY_PARQUET, contracts.SUMMARY, table)
    files.publish_json(config.directory / SUMMARY_JSON, summary)
    return table


def _read(config: ExperimentConfig, evaluated: Sequence[Evaluated]) -> dict[Path, Evaluation]:
    """Read each evaluation once: they are small and many, and mu's is every arm's."""
    import joblib

    items = {item.store.directory / item.shard: item for item in evaluated}
    paths = [item.store.path(item.shard) for item in items.values()]
    workers = processes(config) if len(paths) >= MANY else 1
    found = joblib.Parallel(n_jobs=workers, batch_size=64)(
        joblib.delayed(read_evaluation)(path, config.reward) for path in paths
    )
    return dict(zip(items, found, strict=True))


def _identity_columns(arm: Arm) -> dict[str, Any]:
    return {
        "arm": arm.name,
        "algorithm": arm.config.algorithm.name,
        "baseline": arm.config.baseline,
        "baseline_reference": arm.config.baseline_reference,
        "seed": arm.config.seed,
        "policy_seed": arm.config.policy.seed,
        "sampling_seed": arm.config.sampling.seed,
    }


def _curve_row(config: ExperimentConfig, item: Evaluated, found: Evaluation) -> dict[str, Any]:
    path = item.store.directory / item.shard
    return _identity_columns(item.arm) | {
        "split": item.split,
        "step": item.step,
        "prompts": len(found.accuracy_P),
        **_measured(found),
        "evaluation": str(path.relative_to(config.directory)),
    }


def _measured(found: Evaluation) -> dict[str, Any]:
    names = ("accuracy", "accuracy_se", "k", "pass_at_k", "entropy", "distinct_answers")
    return {name: getattr(found, name) for name in (*names, "length", "truncated")}


def _summary_row(arm: Arm, steps: dict[int, Evaluation], overrides: str) -> dict[str, Any]:
    mu, last = steps[0], steps[arm.last_step]
    difference_P = last.accuracy_P - mu.accuracy_P
    after_start = [step for step in sorted(steps) if step]
    peak_step = max(after_start, key=lambda step: steps[step].accuracy)
    peak = steps[peak_step].accuracy
    difference_se = standard_error(difference_P)
    return _identity_columns(arm) | {
        "overrides": overrides,
        "step": arm.last_step,
        "behaviour_accuracy": mu.accuracy,
        **_measured(last),
        "difference_se": difference_se,
        "peak_accuracy": peak,
        "peak_step": peak_step,
        "verdict": verdict(
            accuracy=last.accuracy,
            behaviour_accuracy=mu.accuracy,
            difference_se=difference_se,
            peak_accuracy=peak,
        ),
        **_last_metrics(arm),
        "collapse_step": arm.store.facts.get("collapse_step"),
        "seconds": _seconds(arm),
    }


def _last_metrics(arm: Arm) -> dict[str, float | None]:
    """The diagnostics of the fixed slice at the last step."""
    name = f"metrics/step-{arm.last_step:06d}.parquet"
    row = contracts.read(arm.store.path(name), contracts.METRICS).to_pylist()[-1]
    return {
        "logp_correct": row["slice_logp_correct"],
        "logp_incorrect": row["slice_logp_incorrect"],
        "kl": row["kl"],
        "ess": row["ess"],
    }


def _seconds(arm: Arm) -> float:
    records = (arm.store.directory / "provenance").glob("*.json")
    return sum(float(files.read_json(path).get("seconds", 0.0)) for path in records)


def _table(contract: contracts.Contract, rows: list[dict[str, Any]]) -> pa.Table:
    names = contract.schema.names
    return contracts.table(contract, {name: [row.get(name) for row in rows] for name in names})


def _publish(path: Path, contract: contracts.Contract, rows: pa.Table) -> None:
    files.publish(path, lambda target: contracts.write(target, contract, rows, identity=""))
