"""The reward scale: what a stored verdict pays, at train time; no scale is baked in.

`total.py` sums up what the verdicts of several graders pay.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce import plugins
from asymreinforce.config import RewardConfig
from asymreinforce.data.contracts import STATUSES, UNJUDGED
from asymreinforce.errors import ConfigError, InputError

COUNTING = ("correct_at", "no_answer", "truncated", "unjudged")
"""Settings of the reward that decide what is correct and what is left out."""


OUTCOMES = ("correct", "incorrect", *(status for status in STATUSES if status != "ok"))
"""What a completion is called: what the scale says of it, or the status of one without a score."""


class Rewards(NamedTuple):
    """Rewards of B rollouts; those not `kept` belong to no group and enter no mean."""

    reward_B: np.ndarray
    correct_B: np.ndarray
    kept_B: np.ndarray

    @property
    def accuracy(self) -> float | None:
        """The share of the kept rollouts that is correct; None if none is kept."""
        return float(self.correct_B[self.kept_B].mean()) if self.kept_B.any() else None


def scale_rewards(
    *, score_B: np.ndarray, status_B: np.ndarray, truncated_B: np.ndarray, config: RewardConfig
) -> Rewards:
    """r = correct where the score reaches `correct_at`, incorrect elsewhere, or a function of it.

    What could not be judged is left out; without an answer, or cut off, a completion is incorrect.
    Each of these is a setting. `reward.value` says how a reward follows from the score; accuracy
    is by the threshold in any case. Raises `InputError` if a user's function does not keep its
    contract.
    """
    unjudged_B = np.isin(status_B, UNJUDGED)
    no_answer_B = status_B == "no_answer"
    counts_B = ~unjudged_B & ~no_answer_B & ((config.truncated == "as_judged") | ~truncated_B)
    score_B = np.where(counts_B, np.nan_to_num(score_B), 0.0)
    correct_B = counts_B & (score_B >= config.correct_at)
    left_out_B = (
        (unjudged_B & (config.unjudged == "exclude"))
        | (no_answer_B & (config.no_answer == "exclude"))
        | (truncated_B & (config.truncated == "exclude"))
    )
    return Rewards(_values(score_B, correct_B, config), correct_B, ~left_out_B)


def _values(score_B: np.ndarray, correct_B: np.ndarray, config: RewardConfig) -> np.ndarray:
    """Return the reward of each rollout; the score of what counts as incorrect anyway is 0."""
    if config.value == "threshold":
        return np.where(correct_B, config.correct, config.incorrect)
    if config.value == "score":
        return config.incorrect + (config.correct - config.incorrect) * score_B
    function = plugins.load_function(config.value)
    try:
        reward_B = np.asarray(function(score_B.copy(), correct_B.copy()), dtype=np.float64)
    except Exception as error:  # a user's function may fail in any way
        raise InputError(
            f"reward.value={config.value} fails ({type(error).__name__}: {error})"
        ) from error
    if reward_B.shape != score_B.shape or not np.isfinite(reward_B).all():
        raise InputError(
            f"reward.value={config.value} is to return a finite reward for each of "
            f"{len(score_B)} scores; it returned {_described(reward_B)}"
        )
    return reward_B


def require_reward(config: RewardConfig) -> None:
    """Raise `ConfigError` or `InputError` if a user's function of scores cannot be used."""
    if not plugins.is_plugin(config.value):
        return
    score_B, correct_B = np.array([0.0, 0.5, 1.0]), np.array([False, False, True])
    together_B = _values(score_B, correct_B, config)
    alone_B = [_values(score_B[[i]], correct_B[[i]], config)[0] for i in range(len(score_B))]
    if not np.array_equal(together_B, alone_B):
        raise ConfigError(
            f"reward.value={config.value}: a rollout's reward depends on the other ones it is "
            "given with, which are others from step to step; a baseline is the place for that"
        )


def _described(values: np.ndarray) -> str:
    if values.ndim == 1 and not np.isfinite(values).all():
        return f"{values[~np.isfinite(values)][0]}"
    return f"an array of shape {values.shape}"


def reward_identity(config: RewardConfig) -> dict[str, Any]:
    """Return what decides rewards beside verdicts; a user's function counts by its code."""
    names = {"correct", "incorrect", *COUNTING}
    identity = config.model_dump(mode="json", include=names)
    if config.value != "threshold":
        identity["value"] = config.value
    if plugins.is_plugin(config.value):
        identity["code"] = plugins.plugin_identity(config.value)
    if config.graders:
        identity["graders"] = config.weight_by_grader
    if config.overlong.max_tokens is not None:
        identity["overlong"] = config.overlong.model_dump(mode="json")
    return identity


def rewards_of(rows: pa.Table, config: RewardConfig) -> Rewards:
    """Apply the scale to rows of VERDICTS or EVALUATIONS."""
    return scale_rewards(
        score_B=rows.column("score").to_numpy(zero_copy_only=False),
        status_B=rows.column("status").to_numpy(zero_copy_only=False),
        truncated_B=cut_off(rows),
        config=config,
    )


def outcome_names(status_B: Iterable[str], correct_B: Iterable[bool]) -> list[str]:
    """Return which of `OUTCOMES` each completion is."""
    return [
        ("correct" if is_correct else "incorrect") if status == "ok" else status
        for status, is_correct in zip(status_B, correct_B, strict=True)
    ]


def cut_off(rows: pa.Table) -> np.ndarray:
    """Tell which completions ended at the longest length, by `truncated` or `finish_reason`."""
    if "truncated" in rows.schema.names:
        truncated = rows.column("truncated")
    else:
        truncated = pc.equal(rows.column("finish_reason"), "length")
    truncated_B: np.ndarray = truncated.to_numpy(zero_copy_only=False).astype(bool)
    return truncated_B


def counting(config: RewardConfig) -> dict[str, Any]:
    """Return the settings that decide what is correct and what is left out."""
    return config.model_dump(mode="json", include=set(COUNTING))
