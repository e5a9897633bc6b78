"""The reward of a rollout: the scale of a verdict, a weighted sum over graders, a length penalty.

    r(y) = sum_k w_k value_k(y) + w overlong(|y|)

`value_k` is the reward for the verdict of grader k and w_k its weight. |y| is the number of tokens
of the completion with the end of sequence. Without `reward.graders` the sum is the value of
`task.grader` alone. Only the verdict of `task.grader` decides whether y is correct. Verdicts are
stored without a reward, so that each run can choose its scale.

Shapes: B rollouts.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce import plugins
from asymreinforce.config import RewardConfig
from asymreinforce.config.reward import OverlongConfig
from asymreinforce.data.contracts import STATUSES, UNJUDGED
from asymreinforce.data.rows import Judged, Scores
from asymreinforce.errors import ConfigError, InputError

COUNTING = ("correct_at", "no_answer", "truncated", "unjudged")
"""Reward settings that decide which completions are correct and which are left out."""
OUTCOMES = ("correct", "incorrect", *(status for status in STATUSES if status != "ok"))
"""Labels of completions: by the scale if there is a score, else by the status."""


class Rewards(NamedTuple):
    """Rewards of B rollouts; a rollout that is not kept belongs to no group and enters no mean."""

    reward_B: np.ndarray
    correct_B: np.ndarray
    kept_B: np.ndarray

    @property
    def accuracy(self) -> float | None:
        """Return the share of the kept rollouts that is correct; None if no rollout is kept."""
        return float(self.correct_B[self.kept_B].mean()) if self.kept_B.any() else None


def scale_rewards(
    *, score_B: np.ndarray, status_B: np.ndarray, truncated_B: np.ndarray, config: RewardConfig
) -> Rewards:
    """r = `correct` if the score is at least `correct_at`, else `incorrect`, or a function of both.

    By default, a completion that could not be judged is left out, and a completion without an
    answer or cut off is incorrect; each is a setting. `reward.value` says how a reward follows from
    the score; accuracy always uses the threshold. Raises `InputError` if a user's function fails or
    returns anything but a finite reward for each score.
    """
    unjudged_B = np.isin(status_B, UNJUDGED)
    no_answer_B = status_B == "no_answer"
    counts_B = ~unjudged_B & ~no_answer_B & ((config.truncated == "as_judged") | ~truncated_B)
    # A row without a score has a null, read as NaN, which must not reach the rewards.
    score_B = np.where(counts_B, np.nan_to_num(score_B), 0.0)
    correct_B = counts_B & (score_B >= config.correct_at)
    left_out_B = (
        (unjudged_B & (config.unjudged == "exclude"))
        | (no_answer_B & (config.no_answer == "exclude"))
        | (truncated_B & (config.truncated == "exclude"))
    )
    return Rewards(_values(score_B, correct_B, config), correct_B, ~left_out_B)


def total_rewards(judged: Judged, config: RewardConfig) -> Rewards:
    """r = sum_k w_k value_k + w overlong(|y|); a rollout is kept if all graders' verdicts keep it.

    Raises the errors of `scale_rewards`.
    """
    own = _scaled(judged.own, judged, config)
    reward_B, kept_B = own.reward_B, own.kept_B
    if config.graders:
        others = {name: _scaled(scores, judged, config) for name, scores in judged.others.items()}
        # A grader that is not among the others is `task.grader`, whose verdicts are `own`.
        terms = [
            weight * others.get(name, own).reward_B
            for name, weight in config.weight_by_grader.items()
        ]
        assert set(others) <= set(config.graders) and len(terms) - len(others) in (0, 1)
        reward_B = np.sum(terms, axis=0)
        kept_B = np.all([own.kept_B, *(other.kept_B for other in others.values())], axis=0)
    if config.overlong.max_tokens is not None:
        assert judged.tokens_B is not None
        punishment_B = soft_overlong(judged.tokens_B, config.overlong)
        reward_B = reward_B + config.overlong.weight * punishment_B
    return Rewards(reward_B, own.correct_B, kept_B)


def soft_overlong(tokens_B: np.ndarray, config: OverlongConfig) -> np.ndarray:
    """Return DAPO's soft overlong punishment (Yu et al. 2025, arXiv 2503.14476, Eq. 13).

                  0                               |y| <= L_max - L_cache
        overlong = ((L_max - L_cache) - |y|) / L_cache     up to |y| = L_max
                  -1                              |y| > L_max

    DAPO has L_max = 20480, at which sampling ends, and L_cache = 4096.
    """
    assert config.cache_tokens is not None
    excess_B = (config.free_tokens - tokens_B) / config.cache_tokens
    punishment_B: np.ndarray = np.clip(excess_B, -1.0, 0.0)
    return punishment_B


def _scaled(scores: Scores, judged: Judged, config: RewardConfig) -> Rewards:
    return scale_rewards(
        score_B=scores.score_B,
        status_B=scores.status_B,
        truncated_B=judged.truncated_B,
        config=config,
    )


def _values(score_B: np.ndarray, correct_B: np.ndarray, config: RewardConfig) -> np.ndarray:
    """Return the reward of each rollout; `score_B` is 0 for a rollout without a valid score."""
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
    # Batches differ from step to step, so a reward must not depend on its batch.
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
    """Return the settings that decide rewards, for an identity; a user's function adds its code."""
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
    """Return the label of each completion, one of `OUTCOMES`."""
    return [
        ("correct" if is_correct else "incorrect") if status == "ok" else status
        for status, is_correct in zip(status_B, correct_B, strict=True)
    ]


def cut_off(rows: pa.Table) -> np.ndarray:
    """Return which completions reached the longest length, by `truncated` or `finish_reason`."""
    if "truncated" in rows.schema.names:
        truncated = rows.column("truncated")
    else:
        truncated = pc.equal(rows.column("finish_reason"), "length")
    truncated_B: np.ndarray = truncated.to_numpy(zero_copy_only=False).astype(bool)
    return truncated_B


def counting(config: RewardConfig) -> dict[str, Any]:
    """Return the values of the settings in `COUNTING`."""
    return config.model_dump(mode="json", include=set(COUNTING))
