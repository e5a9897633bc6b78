"""The total reward of a rollout: a weighted sum over graders, and a penalty for its length.

    r(y) = sum_k w_k value_k(y) + w overlong(|y|)

`value_k` is the reward for the verdict of grader k (`scale.py`) and w_k its weight. |y| is the
number of tokens of the completion with the end of sequence. Without `reward.graders` the sum is the
value of `task.grader` alone. Only the verdict of `task.grader` decides whether y is correct.

Shapes: B rollouts.
"""

import numpy as np

from asymreinforce.config import RewardConfig
from asymreinforce.config.reward import OverlongConfig
from asymreinforce.data.rows import Judged, Scores
from asymreinforce.rewards.scale import Rewards, scale_rewards


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
