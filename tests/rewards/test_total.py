"""A summed reward and its length term, against a loop over rollouts in plain Python."""

import math
import random
from typing import Any

import numpy as np
import pytest

from asymreinforce.config import RewardConfig
from asymreinforce.data.rows import Judged, Scores
from asymreinforce.rewards.scale import reward_identity, scale_rewards, soft_overlong, total_rewards

STATUSES = ("ok", "ok", "ok", "no_answer", "timeout", "error")
GRADERS = ("exact", "mine:form", "mine:style")
OVERLONG: dict[str, Any] = {"max_tokens": 20, "cache_tokens": 8, "weight": 0.5}


def scores(generator: random.Random, rows: int) -> Scores:
    status_B = np.array([generator.choice(STATUSES) for _ in range(rows)])
    drawn = [generator.choice([0.0, 0.25, 0.5, 1.0]) for _ in range(rows)]
    return Scores(np.where(status_B == "ok", drawn, np.nan), status_B)


def judged(*, seed: int = 3, rows: int = 400) -> Judged:
    """Verdicts of `exact`, which says what is correct, and of two others."""
    generator = random.Random(seed)
    return Judged(
        scores(generator, rows),
        np.array([generator.random() < 0.2 for _ in range(rows)]),
        {name: scores(generator, rows) for name in GRADERS[1:]},
        np.array([generator.randint(1, 30) for _ in range(rows)]),
    )


def naive_value(score: float, status: str, truncated: bool, config: RewardConfig) -> float | None:
    """What one verdict pays; None if it leaves its rollout out."""
    if status in ("timeout", "error") and config.unjudged == "exclude":
        return None
    if status == "no_answer" and config.no_answer == "exclude":
        return None
    if truncated and config.truncated == "exclude":
        return None
    counts = status == "ok" and (not truncated or config.truncated == "as_judged")
    if config.value == "score":
        share = score if counts else 0.0
        return config.incorrect + (config.correct - config.incorrect) * share
    return config.correct if counts and score >= config.correct_at else config.incorrect


def naive_reward(rollouts: Judged, row: int, config: RewardConfig) -> float | None:
    """r = sum_k w_k value_k + w overlong(|y|); None if some verdict leaves the rollout out."""
    own = {"exact": rollouts.own, **rollouts.others}
    values = {
        name: naive_value(
            float(given.score_B[row]), str(given.status_B[row]),
            bool(rollouts.truncated_B[row]), config,
        )
        for name, given in own.items()
    }  # fmt: skip
    if None in values.values():
        return None
    weights = config.weights or (1.0,) * len(config.graders)
    terms = zip(config.graders, weights, strict=True)
    total = sum(weight * (values[name] or 0.0) for name, weight in terms)
    assert rollouts.tokens_B is not None
    if (longest := config.overlong.max_tokens) is None:
        return total
    tokens, cache = int(rollouts.tokens_B[row]), config.overlong.cache_tokens or 0
    if tokens <= longest - cache:
        return total
    lost = 1.0 if tokens > longest else (tokens - (longest - cache)) / cache
    return total - config.overlong.weight * lost


@pytest.mark.parametrize("value", ["threshold", "score"])
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"unjudged": "incorrect"},
        {"no_answer": "exclude", "truncated": "exclude"},
        {"truncated": "as_judged", "correct_at": 0.5, "incorrect": 0.0},
    ],
)
@pytest.mark.parametrize("overlong", [{}, OVERLONG])
def test_a_summed_reward_is_what_a_loop_over_rollouts_says(
    value: str, rules: dict[str, Any], overlong: dict[str, Any]
) -> None:
    config = RewardConfig(
        value=value, graders=GRADERS, weights=(1.0, 0.2, -0.7), overlong=overlong, **rules
    )
    rollouts = judged()
    rewards = total_rewards(rollouts, config)
    expected = [naive_reward(rollouts, row, config) for row in range(400)]
    assert rewards.kept_B.tolist() == [reward is not None for reward in expected]
    kept = [reward for reward in expected if reward is not None]
    assert len(kept) > 20 and len(set(kept)) > 3
    assert np.abs(rewards.reward_B[rewards.kept_B] - kept).max() < 1e-12


def test_correct_stays_what_the_task_s_grader_says() -> None:
    rollouts = judged()
    alone = scale_rewards(
        score_B=rollouts.own.score_B,
        status_B=rollouts.own.status_B,
        truncated_B=rollouts.truncated_B,
        config=RewardConfig(),
    )
    without = RewardConfig(graders=GRADERS[1:], weights=(1.0, 0.2), overlong=OVERLONG)
    for config in (RewardConfig(graders=GRADERS), without):
        summed = total_rewards(rollouts, config)
        assert summed.correct_B.tolist() == alone.correct_B.tolist()
        assert not (summed.kept_B & ~alone.kept_B).any()  # it must have judged what is kept


def test_without_settings_a_reward_is_the_verdict_s_value_to_the_bit() -> None:
    rollouts = judged()._replace(others={}, tokens_B=None)
    rewards = total_rewards(rollouts, RewardConfig())
    alone = scale_rewards(
        score_B=rollouts.own.score_B,
        status_B=rollouts.own.status_B,
        truncated_B=rollouts.truncated_B,
        config=RewardConfig(),
    )
    assert all(one.tobytes() == other.tobytes() for one, other in zip(rewards, alone, strict=True))


def test_the_order_of_graders_changes_no_bit() -> None:
    rollouts = judged()
    forwards = RewardConfig(graders=GRADERS, weights=(0.1, 0.2, 0.3))
    backwards = RewardConfig(graders=GRADERS[::-1], weights=(0.3, 0.2, 0.1))
    one, other = (total_rewards(rollouts, config).reward_B for config in (forwards, backwards))
    assert one.tobytes() == other.tobytes()
    assert reward_identity(forwards) == reward_identity(backwards)


def test_the_punishment_of_dapo_at_its_own_lengths() -> None:
    """Yu et al. 2025, Eq. 13, with L_max = 20480 and L_cache = 4096."""
    config = RewardConfig(overlong={"max_tokens": 20480, "cache_tokens": 4096}).overlong
    tokens_B = np.array([1, 16384, 16385, 17408, 18432, 20479, 20480, 20481, 40000])
    expected = [0, 0, -1 / 4096, -0.25, -0.5, -4095 / 4096, -1, -1, -1]
    assert soft_overlong(tokens_B, config).tolist() == expected


def test_an_affine_map_of_the_value_maps_the_sum_by_the_sum_of_weights() -> None:
    """value' = a value + b: r' = a r + b sum_k w_k."""
    rollouts, weights = judged(), (1.0, 0.2, -0.7)
    plain = RewardConfig(value="score", correct=1.0, incorrect=0.0, graders=GRADERS,
                         weights=weights)  # fmt: skip
    mapped = plain.model_copy(update={"correct": 3.2, "incorrect": 0.7})
    r_B, mapped_B = (total_rewards(rollouts, config).reward_B for config in (plain, mapped))
    assert np.abs(mapped_B - (2.5 * r_B + 0.7 * math.fsum(weights))).max() < 1e-12


def test_what_is_left_at_its_default_is_not_named() -> None:
    named = reward_identity(RewardConfig(graders=("b", "a"), weights=(2.0, 1.0)))
    assert named["graders"] == {"a": 1.0, "b": 2.0} and "overlong" not in named
    assert not reward_identity(RewardConfig()).keys() & {"graders", "weights", "overlong"}
    long = reward_identity(RewardConfig(overlong={"max_tokens": 8, "cache_tokens": 4}))
    assert long["overlong"] == {"max_tokens": 8, "cache_tokens": 4, "weight": 1.0}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": [1.0]}, "reward.weights are 1 for 0 of reward.graders: name the graders"),
        ({"graders": ["a", "b"], "weights": [1.0]}, "reward.weights are 1 for 2"),
        ({"graders": ["a", "a"]}, "reward.graders names a more than once"),
        ({"graders": ["a"], "weights": [0.0]}, "reward.weights are all 0"),
        ({"graders": ["a"], "weights": [math.inf]}, "finite number"),
        ({"graders": ["a"], "weights": [math.nan]}, "finite number"),
        ({"overlong": {"max_tokens": 8}}, "max_tokens is set without reward.overlong.cache"),
        ({"overlong": {"cache_tokens": 8}}, "cache_tokens is set without reward.overlong.max"),
        (
            {"overlong": {"max_tokens": 8, "cache_tokens": 9}},
            r"cache_tokens \(9\) is above reward.overlong.max_tokens \(8\)",
        ),
        ({"overlong": {"max_tokens": 8, "cache_tokens": 0}}, "greater than or equal to 1"),
    ],
)
def test_nonsense_is_refused_with_what_to_change(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RewardConfig(**settings)


def test_only_a_plain_threshold_has_two_rewards() -> None:
    others: list[dict[str, Any]] = [
        {"value": "score"},
        {"graders": ["exact"]},
        {"overlong": {"max_tokens": 8, "cache_tokens": 4}},
    ]
    assert RewardConfig().is_one_of_two
    assert not any(RewardConfig(**settings).is_one_of_two for settings in others)
