"""What is reported of an evaluated checkpoint: accuracy by prompt, pass@k, diversity, entropy.

    pass@k     = 1 - C(n - c, k) / C(n, k)            c of n samples of a prompt are right
    distinct@k = sum_v 1 - C(n - n_v, k) / C(n, k)    n_v of its n samples are the value v

Both are unbiased for every k <= n (Chen et al. 2021, arXiv 2107.03374, Eq. 1; Hurlbert 1971), so
that evaluations of different n can be compared at the same k. Means are over prompts.

Whoever publishes an evaluation has its rows at hand and puts their sums into its receipt; readers
then check the shard's bytes against the receipt and need not decode it.

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
"""Of the facts in a receipt: sums of another meaning are made again from the rows."""

FACT = "sums"
COLUMNS = [
    "prompt_id", "sample", "tokens", "finish_reason", "text", "status", "logp", "score",
    "extracted_answer",
]  # fmt: skip


class Sums(NamedTuple):
    """What one checkpoint did on the prompts of a split; curves start at k = 1."""

    prompts: str
    """A hash of the prompts' ids in their order: equal where P means the same prompts."""
    kept_P: np.ndarray
    """How many samples of a prompt were judged."""
    right_P: np.ndarray
    pass_at_K: tuple[float, ...]
    answers_at_K: tuple[float, ...]
    """Distinct extracted answers; a completion without one adds none."""
    completions_at_K: tuple[float, ...]
    """Distinct texts."""
    entropy: float | None
    """-(1/n) sum log pi(y|x) over its own samples: nats a completion; None where not known."""
    length: float
    """Tokens a completion."""
    truncated: float

    @property
    def accuracy_P(self) -> np.ndarray:
        """The share of a prompt's judged samples that is right; NaN where none was judged."""
        unknown = np.full(len(self.kept_P), np.nan)
        share_P: np.ndarray = np.divide(
            self.right_P, self.kept_P, out=unknown, where=self.kept_P > 0
        )
        return share_P

    @property
    def accuracy(self) -> float:
        """The mean over prompts."""
        return float(np.nanmean(self.accuracy_P))

    @property
    def accuracy_se(self) -> float:
        """The standard error over prompts."""
        return standard_error(self.accuracy_P)

    @property
    def k(self) -> int:
        """The largest k of the curves."""
        return len(self.pass_at_K)

    @property
    def pass_at_k(self) -> float:
        """pass@k at the largest k."""
        return self.pass_at_K[-1]

    @property
    def distinct_answers(self) -> float:
        """Distinct answers among k samples of a prompt, at the largest k."""
        return self.answers_at_K[-1]


def standard_error(values_P: np.ndarray) -> float:
    """s / sqrt(P) over values that are not NaN; 0 for one, which says nothing about others."""
    values_P = values_P[~np.isnan(values_P)]
    return float(values_P.std(ddof=1) / math.sqrt(len(values_P))) if len(values_P) > 1 else 0.0


def sums_of(rows: pa.Table, reward: RewardConfig, *, where: str) -> Sums:
    """Sum up rows of EVALUATIONS (the columns COLUMNS); what was not judged is in no curve.

    Raises `InputError` that names `where` if no completion was judged.
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
    """Return 1 - C(n-c, k)/C(n, k) for every k up to the one given   (P, K).

    C(n-c, k)/C(n, k) = prod_{i<k} (n-c-i)/(n-i), which is 0 from k = n-c+1 on.
    """
    drawn_K = np.arange(k)
    wrong_PK = np.maximum((count_P - right_P)[:, None] - drawn_K, 0)
    missed_PK: np.ndarray = np.cumprod(wrong_PK / (count_P[:, None] - drawn_K), axis=1)
    return 1 - missed_PK


def facts_of(sums: Sums, reward: RewardConfig) -> dict[str, Any]:
    """Return sums as facts of a receipt: JSON of which `stored_sums` makes the same sums."""
    texts = {name: " ".join(map(str, getattr(sums, name))) for name in ("kept_P", "right_P")}
    return {FACT: {**sums._asdict(), **texts, "scale": counting(reward), "version": VERSION}}


def stored_sums(facts: Mapping[str, Any], reward: RewardConfig) -> Sums | None:
    """Return the sums that a receipt holds; None where it has none, or of another reward scale."""
    fact = facts.get(FACT)
    if not isinstance(fact, dict) or fact.get("version") != VERSION:
        return None
    if fact.get("scale") != counting(reward):
        return None
    values = {name: fact[name] for name in Sums._fields}
    for name in ("kept_P", "right_P"):
        values[name] = np.array(values[name].split(), dtype=np.int64)
    for name in ("pass_at_K", "answers_at_K", "completions_at_K"):
        values[name] = tuple(values[name])
    return Sums(**values)


def read_sums(store: Store, shard: str, reward: RewardConfig) -> Sums:
    """Return the sums of a shard whose bytes match its receipt; raise as `Store.path` does."""
    known = stored_sums(store.verified(shard).facts, reward)
    if known is not None:
        return known
    path = store.directory / shard
    rows = contracts.read_table(path, contracts.EVALUATIONS, columns=COLUMNS)
    return sums_of(rows, reward, where=str(path))


def _distinct_at_k(
    prompt_B: np.ndarray, values: pa.ChunkedArray, kept_B: np.ndarray, kept_P: np.ndarray, k: int
) -> tuple[float, ...]:
    """distinct@k, the mean over judged prompts: each value of a prompt is seen or not."""
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
