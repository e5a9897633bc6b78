"""Summarize an evaluated checkpoint: accuracy by prompt, pass@k, diversity, entropy.

    pass@k     = 1 - C(n - c, k) / C(n, k)            c of n samples of a prompt are right
    distinct@k = sum_v 1 - C(n - n_v, k) / C(n, k)    n_v of its n samples are the value v

Both are unbiased for every k <= n (Chen et al. 2021, arXiv 2107.03374, Eq. 1; Hurlbert 1971), so
that evaluations of different n can be compared at the same k. Means are over prompts.

The writer of an evaluation shard puts the sums into its receipt. A reader then only checks the
bytes of the shard against the receipt and need not decode the rows.

Shapes: B completions, P prompts in the order of their first completion, K = 1..the fewest judged
samples of a judged prompt.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.data.store import Store, hash_of
from asymreinforce.data.values import finite_or_none
from asymreinforce.errors import InputError
from asymreinforce.rewards.scale import counting, cut_off, rewards_of

VERSION = 1
"""The version of the sums in a receipt; sums of another version are computed from the rows."""

FACT = "sums"
COLUMNS = [
    "prompt_id", "sample", "tokens", "finish_reason", "text", "status", "logp", "score",
    "extracted_answer",
]  # fmt: skip


class Sums(NamedTuple):
    """The results of one checkpoint on the prompts of a split; curves start at k = 1."""

    prompts: str
    """A hash of the ordered prompt ids: equal if the axis P means the same prompts."""
    kept_P: np.ndarray
    """The number of judged samples of each prompt."""
    right_P: np.ndarray
    pass_at_K: tuple[float, ...]
    answers_at_K: tuple[float, ...]
    """Distinct extracted answers; a completion without an answer does not count."""
    completions_at_K: tuple[float, ...]
    """Distinct texts."""
    entropy: float | None
    """-(1/n) sum log pi(y|x) over its own samples, in nats per completion; None if unknown."""
    length: float
    """Tokens per completion."""
    truncated: float

    @property
    def accuracy_P(self) -> np.ndarray:
        """Return the share of each prompt's judged samples that is right; NaN without any."""
        unknown = np.full(len(self.kept_P), np.nan)
        share_P: np.ndarray = np.divide(
            self.right_P, self.kept_P, out=unknown, where=self.kept_P > 0
        )
        return share_P

    @property
    def accuracy(self) -> float:
        """Return the mean accuracy over prompts."""
        return float(np.nanmean(self.accuracy_P))

    @property
    def accuracy_se(self) -> float:
        """Return the standard error of the accuracy over prompts."""
        return standard_error(self.accuracy_P)

    @property
    def k(self) -> int:
        """Return the largest k of the curves."""
        return len(self.pass_at_K)

    @property
    def pass_at_k(self) -> float:
        """Return pass@k at the largest k."""
        return self.pass_at_K[-1]

    @property
    def distinct_answers(self) -> float:
        """Return the number of distinct answers among k samples of a prompt, at the largest k."""
        return self.answers_at_K[-1]


def standard_error(values_P: np.ndarray) -> float:
    """s / sqrt(P) over the values that are not NaN; 0 for fewer than two values."""
    values_P = values_P[~np.isnan(values_P)]
    return float(values_P.std(ddof=1) / math.sqrt(len(values_P))) if len(values_P) > 1 else 0.0


def sums_of(rows: pa.Table, reward: RewardConfig, *, where: str) -> Sums:
    """Summarize rows of EVALUATIONS (the columns COLUMNS); curves leave out unjudged rows.

    Raises `InputError`, which names `where`, if no completion was judged.
    """
    scale = rewards_of(rows, reward)
    if not scale.kept_B.any():
        raise InputError(f"{where}: no completion could be judged; check the task's grader")
    encoded = rows.column("prompt_id").combine_chunks().dictionary_encode()
    prompt_B = encoded.indices.to_numpy()
    prompts = len(encoded.dictionary)
    kept_P = np.bincount(prompt_B[scale.kept_B], minlength=prompts)
    right_P = np.bincount(prompt_B[scale.kept_B & scale.correct_B], minlength=prompts)
    judged_P = kept_P > 0
    # Curves end at the fewest judged samples, since pass@k has no unbiased estimate for n < k.
    k = int(kept_P[judged_P].min())
    logps = rows.column("logp")
    answers_K, completions_K = (
        _distinct_at_k(prompt_B, rows.column(name), scale.kept_B, kept_P, k)
        for name in ("extracted_answer", "text")
    )
    return Sums(
        prompts=hash_of(encoded.dictionary.to_pylist()),
        kept_P=kept_P,
        right_P=right_P,
        pass_at_K=_float_tuple(seen_at_k(kept_P[judged_P], right_P[judged_P], k).mean(0)),
        answers_at_K=answers_K,
        completions_at_K=completions_K,
        entropy=None if logps.null_count else finite_or_none(-float(np.mean(logps.to_numpy()))),
        length=float(np.mean(rows.column("tokens").to_numpy())),
        truncated=float(cut_off(rows).mean()),
    )


def seen_at_k(count_P: np.ndarray, right_P: np.ndarray, k: int) -> np.ndarray:
    """Return 1 - C(n-c, j)/C(n, j) for every j = 1..k   (P, K).

    C(n-c, j)/C(n, j) = prod_{i<j} (n-c-i)/(n-i), which is 0 for j > n-c.
    """
    drawn_K = np.arange(k)
    wrong_PK = np.maximum((count_P - right_P)[:, None] - drawn_K, 0)
    missed_PK: np.ndarray = np.cumprod(wrong_PK / (count_P[:, None] - drawn_K), axis=1)
    return 1 - missed_PK


def facts_of(sums: Sums, reward: RewardConfig) -> dict[str, Any]:
    """Return sums as JSON facts of a receipt; `stored_sums` is the inverse."""
    texts = {name: " ".join(map(str, getattr(sums, name))) for name in ("kept_P", "right_P")}
    return {FACT: {**sums._asdict(), **texts, "scale": counting(reward), "version": VERSION}}


def stored_sums(facts: Mapping[str, Any], reward: RewardConfig) -> Sums | None:
    """Return the sums in a receipt; None if it has none of this version and reward scale."""
    fact = facts.get(FACT)
    if not isinstance(fact, dict) or fact.get("version") != VERSION:
        return None
    # Other settings count other rows as correct or judged.
    if fact.get("scale") != counting(reward):
        return None
    values = {name: fact[name] for name in Sums._fields}
    for name in ("kept_P", "right_P"):
        values[name] = np.array(values[name].split(), dtype=np.int64)
    for name in ("pass_at_K", "answers_at_K", "completions_at_K"):
        values[name] = tuple(values[name])
    return Sums(**values)


def read_sums(store: Store, shard: str, reward: RewardConfig) -> Sums:
    """Return the sums of a shard whose bytes match its receipt; raises as `Store.path` does."""
    known = stored_sums(store.verified(shard).facts, reward)
    if known is not None:
        return known
    path = store.directory / shard
    rows = contracts.read_table(path, contracts.EVALUATIONS, columns=COLUMNS)
    return sums_of(rows, reward, where=str(path))


def _distinct_at_k(
    prompt_B: np.ndarray, values: pa.ChunkedArray, kept_B: np.ndarray, kept_P: np.ndarray, k: int
) -> tuple[float, ...]:
    """Return distinct@k for each k, the mean over judged prompts."""
    counted_B = kept_B & values.is_valid().to_numpy(zero_copy_only=False)
    if not counted_B.any():
        return (0.0,) * k
    encoded = values.combine_chunks().dictionary_encode()
    code_B = encoded.indices.fill_null(0).to_numpy().astype(np.int64)
    distinct = max(1, len(encoded.dictionary))
    pairs, times = np.unique(
        prompt_B[counted_B].astype(np.int64) * distinct + code_B[counted_B], return_counts=True
    )
    seen_K = seen_at_k(kept_P[pairs // distinct], times, k).sum(0)
    return _float_tuple(seen_K / (kept_P > 0).sum())


def _float_tuple(values_K: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values_K)
