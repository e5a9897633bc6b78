"""Does accuracy cost coverage? Entropy, distinct answers and pass@k of one evaluated checkpoint.

    pass@k     = 1 - C(n - c, k) / C(n, k)            c of n samples of a prompt are right
    distinct@k = sum_v 1 - C(n - n_v, k) / C(n, k)    n_v of its n samples are the value v

Both are unbiased for every k <= n (Chen et al. 2021, arXiv 2107.03374, Eq. 1; Hurlbert 1971), so
that evaluations of different n can be compared at the same k. Means are over prompts.

Shapes: P prompts, K = 1..the fewest judged samples of a prompt.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from asymreinforce.config import RewardConfig
from asymreinforce.errors import InputError
from asymreinforce.rewards.scale import rewards


class Diversity(NamedTuple):
    """What the samples of a checkpoint look like; curves start at k = 1."""

    prompts: int
    samples: int
    """The largest k of the curves."""
    entropy: float | None
    """-(1/n) sum log pi(y|x) over the samples, nats a completion; None where it is not known."""
    pass_at_K: tuple[float, ...]
    answers_at_K: tuple[float, ...]
    """Distinct extracted answers; a completion without one adds none."""
    completions_at_K: tuple[float, ...]
    """Distinct texts."""


def diversity(evaluation: pa.Table, reward: RewardConfig) -> Diversity:
    """Sum up a table of EVALUATIONS; what could not be judged is left out of every figure.

    Raises `InputError` where no completion was judged.
    """
    truncated_B = evaluation.column("finish_reason").to_numpy(zero_copy_only=False) == "length"
    scale = rewards(
        score_B=evaluation.column("score").to_numpy(zero_copy_only=False),
        status_B=evaluation.column("status").to_numpy(zero_copy_only=False),
        truncated_B=truncated_B,
        config=reward,
    )
    if not scale.kept_B.any():
        raise InputError("no completion of this evaluation could be judged; see the task's grader")
    rows, correct_B = evaluation.filter(pa.array(scale.kept_B)), scale.correct_B[scale.kept_B]
    prompt_B = _codes(rows.column("prompt_id"))
    count_P = np.bincount(prompt_B)
    samples = int(count_P.min())
    right_P = np.bincount(prompt_B, weights=correct_B).astype(int)
    logps = rows.column("logp")
    return Diversity(
        len(count_P),
        samples,
        None if logps.null_count else -float(np.mean(logps.to_numpy())),
        _mean_over_prompts(seen_at_k(count_P, right_P, samples)),
        _distinct(prompt_B, rows.column("extracted_answer"), count_P, samples),
        _distinct(prompt_B, rows.column("text"), count_P, samples),
    )


def seen_at_k(count_P: np.ndarray, right_P: np.ndarray, samples: int) -> np.ndarray:
    """Return 1 - C(n-c, k)/C(n, k) for k = 1..samples   (P, K).

    C(n-c, k)/C(n, k) = prod_{i<k} (n-c-i)/(n-i), which is 0 from k = n-c+1 on.
    """
    drawn_K = np.arange(samples)
    wrong_PK = np.maximum((count_P - right_P)[:, None] - drawn_K, 0)
    missed_PK: np.ndarray = np.cumprod(wrong_PK / (count_P[:, None] - drawn_K), axis=1)
    return 1 - missed_PK


def coverage_crossing(before_K: Sequence[float], after_K: Sequence[float]) -> int | None:
    """Return the first k at which pass@k before is above that after, None where there is none.

    Where it is above 1, the trained policy is the better one at few samples and covers fewer
    problems at many.
    """
    pairs = enumerate(zip(before_K, after_K, strict=False), start=1)
    return next((k for k, (before, after) in pairs if before > after), None)


def _distinct(
    prompt_B: np.ndarray, values: pa.ChunkedArray, count_P: np.ndarray, samples: int
) -> tuple[float, ...]:
    """distinct@k, the mean over prompts: each value of a prompt is seen or not."""
    is_there = ~values.is_null().to_numpy(zero_copy_only=False)
    code_B = _codes(values.filter(pa.array(is_there))) if is_there.any() else np.zeros(0, int)
    pairs, times = np.unique(np.stack([prompt_B[is_there], code_B]), axis=1, return_counts=True)
    if not len(times):
        return (0.0,) * samples
    seen = seen_at_k(count_P[pairs[0]], times, samples).sum(0) / len(count_P)
    return tuple(float(value) for value in seen)


def _mean_over_prompts(values_PK: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values_PK.mean(0))


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    indices: np.ndarray = column.combine_chunks().dictionary_encode().indices.to_numpy()
    return indices
