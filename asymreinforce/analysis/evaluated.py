"""How right an arm was on each prompt of an evaluation, and the intervals of one run from it.

These speak of one trained policy on other prompts; nothing is said of another run. Seeds speak of
that (`results.py`).

Shapes: P prompts.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from asymreinforce.analysis.records import Arm, Checkpoint, Experiment
from asymreinforce.analysis.statistics.intervals import Interval, bootstrap, of_a_share
from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.rewards.scale import rewards

COLUMNS = ["prompt_id", "sample", "finish_reason", "status", "score"]
READERS = 4
SEED = 0
"""Draws the resamples, so that the same files give the same page."""

RESAMPLES = 4_000


class RunIntervals(NamedTuple):
    """Intervals over prompts of one run at its last step; shares of 1."""

    accuracy: Interval
    minus_behaviour: Interval | None


class Shares(NamedTuple):
    """Each judged prompt's share of right answers."""

    prompts: tuple[str, ...]
    right_P: np.ndarray
    samples: int
    """The most judged samples of a prompt."""


def run_intervals(experiment: Experiment) -> dict[str, RunIntervals]:
    """Return intervals by arm, for the arms whose last evaluation is on disk.

    Raises `InputError` where an evaluation is damaged.
    """
    split = experiment.split
    ends = {arm.id: _ends(experiment.directory, arm, split) for arm in experiment.arms}
    scales = {arm.id: scale_of(arm.settings) for arm in experiment.arms}
    wanted = {
        (path, scales[id_]): None for id_, found in ends.items() if found for path in found if path
    }
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda item: read_shares(*item), wanted)
        shares = dict(zip(wanted, found, strict=True))
    intervals = {}
    for arm in experiment.arms:
        if (pair := ends[arm.id]) and (last := shares[pair[0], scales[arm.id]]):
            behaviour = shares[pair[1], scales[arm.id]] if pair[1] else None
            intervals[arm.id] = _intervals(last, behaviour)
    return intervals


def scale_of(settings: Mapping[str, object]) -> RewardConfig:
    """Return the reward scale of an arm's flat settings, the default where it has none."""
    own = {name: settings.get(f"reward.{name}") for name in RewardConfig.model_fields}
    return RewardConfig.model_validate({k: v for k, v in own.items() if v is not None})


def read_shares(path: Path, scale: RewardConfig) -> Shares | None:
    """Read an evaluation; None where no completion was judged."""
    rows = contracts.read(path, contracts.EVALUATIONS, columns=COLUMNS)
    given = rewards(
        score_B=rows.column("score").to_numpy(),
        status_B=rows.column("status").to_numpy(zero_copy_only=False),
        truncated_B=pc.equal(rows.column("finish_reason"), "length").to_numpy(),
        config=scale,
    )
    encoded = rows.column("prompt_id").combine_chunks().dictionary_encode()
    prompt_B = encoded.indices.to_numpy()
    count_P = np.bincount(prompt_B, weights=given.kept_B, minlength=len(encoded.dictionary))
    right_P = np.bincount(prompt_B, weights=given.kept_B & given.correct_B, minlength=len(count_P))
    judged_P = count_P > 0
    if not judged_P.any():
        return None
    ids = np.array(encoded.dictionary.to_pylist(), dtype=object)[judged_P]
    return Shares(tuple(ids), right_P[judged_P] / count_P[judged_P], int(count_P.max()))


def _ends(directory: Path, arm: Arm, split: str) -> tuple[Path, Path | None] | None:
    """Return where the evaluations of the last step and of mu lie, as far as they are there."""
    reported = sorted(c for c in arm.checkpoints if c.split == split)
    if not reported:
        return None
    first, last = reported[0], reported[-1]
    last_path, first_path = (_path(directory, c) for c in (last, first))
    if last_path is None:
        return None
    return last_path, first_path if first.step == 0 and last.step > 0 else None


def _path(directory: Path, checkpoint: Checkpoint) -> Path | None:
    path = directory / checkpoint.evaluation
    return path if path.is_file() else None


def _intervals(last: Shares, behaviour: Shares | None) -> RunIntervals:
    accuracy = of_a_share(last.right_P, samples=last.samples)
    if behaviour is None:
        return RunIntervals(accuracy, None)
    if last.prompts == behaviour.prompts:
        differences_P = last.right_P - behaviour.right_P
    else:
        before = dict(zip(behaviour.prompts, behaviour.right_P, strict=True))
        after = zip(last.prompts, last.right_P, strict=True)
        differences_P = np.array([right - before[id_] for id_, right in after if id_ in before])
    if not len(differences_P):
        return RunIntervals(accuracy, None)
    return RunIntervals(accuracy, bootstrap(differences_P, seed=SEED, resamples=RESAMPLES))
