"""Measure how often each arm of a sweep finally answers in each way, beside the prediction.

Reads an experiment directory and publishes `ways.parquet` (WAYS) in it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from asymreinforce.algorithm.table import objective_of
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts, files
from asymreinforce.errors import InputError
from asymreinforce.experiment import inputs
from asymreinforce.experiment.arms import TrainedArm, arms_of
from asymreinforce.rewards.scale import rewards_of, scale_rewards
from asymreinforce.tasks import cups
from scripts.paper.answer_styles import Ways, measure_drift, predicted_shares
from scripts.paper.contracts import WAYS

WAYS_PARQUET = "ways.parquet"
ALGORITHM = "asymre"
"""The objective of Theorem 4.2; arms of other objectives have no prediction and are skipped."""


def measure_ways(directory: Path) -> pa.Table:
    """Predict the shares of ways of every AsymRE arm, and count them in its last evaluation.

    Raises `InputError` if the ways of answering the task are unknown, or no arm was evaluated.
    """
    arms = {arm.name: arm for arm in arms_of(directory) if arm.config.algorithm.name == ALGORITHM}
    for arm in arms.values():
        if arm.config.task.name != "cups":
            raise InputError(
                f"{arm.store.directory}: ways of answering are known for task=cups, "
                f"not for {arm.config.task.name}"
            )
    rows: list[dict[str, Any]] = []
    for last in _last_evaluations(directory):
        if last["arm"] in arms:
            rows += _rows_of(arms[last["arm"]], last, directory / last["evaluation"])
    if not rows:
        raise InputError(f"{directory}: no evaluated arm of {ALGORITHM}; run 'asymrl sweep' first")
    columns = {name: [row[name] for row in rows] for name in WAYS.schema.names}
    table = contracts.make_table(WAYS, columns)
    files.remove_leftovers(directory, below=False)
    files.publish_path(
        directory / WAYS_PARQUET, lambda path: contracts.write_table(path, WAYS, table, identity="")
    )
    return table


def _last_evaluations(directory: Path) -> list[dict[str, Any]]:
    """Return the row of CURVES at the last step of each arm, on the reported split."""
    curves = contracts.read_table(directory / "curves.parquet", contracts.CURVES).to_pylist()
    last: dict[str, dict[str, Any]] = {}
    for row in curves:
        if row["split"] != "train" and row["step"] >= last.get(row["arm"], row)["step"]:
            last[row["arm"]] = row
    return sorted(last.values(), key=lambda row: (row["policy_seed"], row["baseline"], row["seed"]))


def _rows_of(arm: TrainedArm, last: dict[str, Any], evaluation: Path) -> list[dict[str, Any]]:
    ways, behaviour_accuracy_W = _of_behaviour(arm.config)
    limit_W = predicted_shares(ways)
    share_W, accuracy_W = _of_outcome(evaluation, arm.config)
    return [
        {name: last[name] for name in contracts.ARM_COLUMNS}
        | {
            "way": way,
            "behaviour_share": float(ways.behaviour_W[w]),
            "behaviour_accuracy": behaviour_accuracy_W[w],
            "drift": float(ways.drift_W[w]),
            "predicted_share": None if limit_W is None else float(limit_W[w]),
            "share": share_W[w],
            "accuracy": accuracy_W[w],
        }
        for w, way in enumerate(cups.ANSWER_STYLES)
    ]


def _of_behaviour(config: ExperimentConfig) -> tuple[Ways, list[float | None]]:
    """Measure mu's shares, drifts and accuracies on the training rollouts of the arm."""
    table = pa.concat_tables(inputs.find_inputs(config).scored.texts())
    scale = rewards_of(table, config.reward)
    kept = np.flatnonzero(scale.kept_B)
    way_B = _ways_of(table.column("text"))[kept]
    group_B = table.column("prompt_id").combine_chunks().dictionary_encode().indices.to_numpy()
    objective = objective_of(config.algorithm, baseline_reference=config.baseline_reference)
    advantages_B = objective.advantages(
        torch.from_numpy(scale.reward_B[kept]),
        torch.from_numpy(group_B[kept]),
        correct_B=torch.from_numpy(scale.correct_B[kept]),
        baseline=config.baseline,
        reference_name=config.baseline_reference,
        mean=float(scale.reward_B[kept].mean()),
    )
    ways = measure_drift(torch.from_numpy(way_B), advantages_B, ways=len(cups.ANSWER_STYLES))
    return ways, _accuracy_by_way(way_B, scale.correct_B[kept])


def _of_outcome(path: Path, config: ExperimentConfig) -> tuple[list[float], list[float | None]]:
    """Count the ways of an evaluation, and how often each was right."""
    rows = contracts.read_table(path, contracts.EVALUATIONS)
    scale = scale_rewards(
        score_B=rows.column("score").to_numpy(),
        status_B=rows.column("status").to_numpy(zero_copy_only=False),
        truncated_B=rows.column("finish_reason").to_numpy(zero_copy_only=False) == "length",
        config=config.reward,
    )
    way_B = _ways_of(rows.column("text"))
    count_W = np.bincount(way_B, minlength=len(cups.ANSWER_STYLES))
    shares = [float(share) for share in count_W / len(way_B)]
    return shares, _accuracy_by_way(way_B, scale.correct_B)


def _ways_of(texts: pa.ChunkedArray) -> np.ndarray:
    index = {way: w for w, way in enumerate(cups.ANSWER_STYLES)}
    return np.array([index[cups.answer_style(text)] for text in texts.to_pylist()], dtype=np.int64)


def _accuracy_by_way(way_B: np.ndarray, correct_B: np.ndarray) -> list[float | None]:
    correct_by_way: Sequence[np.ndarray] = [
        correct_B[way_B == w] for w in range(len(cups.ANSWER_STYLES))
    ]
    return [float(own.mean()) if len(own) else None for own in correct_by_way]
