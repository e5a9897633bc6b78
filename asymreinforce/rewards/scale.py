"""The reward scale: from stored verdicts to rewards, at train time; no scale is baked in."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.config import RewardConfig
from asymreinforce.data.contracts import STATUSES, UNJUDGED

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
    """r = correct where the score reaches `correct_at`, incorrect elsewhere.

    What could not be judged is left out; without an answer, or cut off, a completion is incorrect.
    Each of these is a setting.
    """
    unjudged_B = np.isin(status_B, UNJUDGED)
    no_answer_B = status_B == "no_answer"
    correct_B = ~unjudged_B & ~no_answer_B & (np.nan_to_num(score_B) >= config.correct_at)
    if config.truncated != "as_judged":
        correct_B &= ~truncated_B
    left_out_B = (
        (unjudged_B & (config.unjudged == "exclude"))
        | (no_answer_B & (config.no_answer == "exclude"))
        | (truncated_B & (config.truncated == "exclude"))
    )
    reward_B = np.where(correct_B, config.correct, config.incorrect)
    return Rewards(reward_B, correct_B, ~left_out_B)


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
