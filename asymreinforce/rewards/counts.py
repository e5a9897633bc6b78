"""Count verdicts chunk by chunk: accuracy, pass@k, statuses, and groups of equal rewards."""

import math
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.config import RewardConfig
from asymreinforce.data.contracts import STATUSES
from asymreinforce.rewards.scale import cut_off, rewards_of


class ScoreFacts(NamedTuple):
    """A summary of scored rollouts.

    Counts are over all rows. Shares are over the rows or groups that the reward scale keeps, and
    None if it keeps none.
    """

    rows: int
    prompts: int
    k: int
    """Samples per prompt in use."""
    ok: int
    no_answer: int
    timeout: int
    error: int
    truncated: int
    left_out: int
    """Rows that the reward scale excludes."""
    accuracy: float | None
    pass_at_1: float | None
    pass_at_k: float | None
    equal_groups: float | None
    """Share of groups in which all rewards are equal."""

    @property
    def line(self) -> str:
        """Write the counts in two lines, for a terminal."""
        return (
            f"{self.rows} completions of {self.prompts} prompts: accuracy {percent(self.accuracy)},"
            f" pass@1 {percent(self.pass_at_1)}, pass@{self.k} {percent(self.pass_at_k)},"
            f" groups of equal rewards {percent(self.equal_groups)}\n"
            f"ok {self.ok}, no answer {self.no_answer}, timeout {self.timeout},"
            f" error {self.error}; truncated {self.truncated}, left out {self.left_out}"
        )


def percent(share: float | None) -> str:
    """Write a share as a percentage."""
    return "-" if share is None else f"{100 * share:.1f}%"


def pass_at_k(*, n: int, c: int, k: int) -> float:
    """pass@k = 1 - C(n-c, k) / C(n, k), unbiased for n >= k samples of which c are correct.

    Chen et al. 2021, Eq. 1. If n < k, k is n.
    """
    k = min(n, k)
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


class VerdictCounts:
    """Accumulates verdicts in memory that does not grow with them; each call adds whole groups."""

    def __init__(self, scale: RewardConfig) -> None:
        self._scale = scale
        self._statuses: Counter[str] = Counter()
        self._groups: Counter[tuple[int, int]] = Counter()
        """The number of groups with (rows kept, rows correct)."""
        # pass@k needs only these two numbers of a group, so groups need not be stored.
        self._rows = self._truncated = 0

    def add(self, verdicts: pa.Table) -> None:
        """Add all verdicts on some prompts (columns prompt_id, status, score, truncated)."""
        status_B = verdicts.column("status").to_numpy(zero_copy_only=False)
        given = rewards_of(verdicts, self._scale)
        ids = pc.unique(verdicts.column("prompt_id"))
        group_B = pc.index_in(verdicts.column("prompt_id"), value_set=ids).to_numpy()
        kept_P = np.bincount(group_B[given.kept_B], minlength=len(ids))
        correct_P = np.bincount(group_B[given.kept_B & given.correct_B], minlength=len(ids))
        self._groups.update(zip(kept_P.tolist(), correct_P.tolist(), strict=True))
        self._statuses.update(status_B.tolist())
        self._rows += len(verdicts)
        self._truncated += int(cut_off(verdicts).sum())

    def facts(self, *, k: int) -> ScoreFacts:
        """Return the counts so far."""
        # A group without a kept row has no accuracy, and enters no mean.
        groups = [(n, c, times) for (n, c), times in sorted(self._groups.items()) if n]
        judged = sum(times for _, _, times in groups)
        kept = sum(n * times for n, _, times in groups)

        def mean(total: float, count: int) -> float | None:
            return total / count if count else None

        return ScoreFacts(
            rows=self._rows,
            prompts=sum(self._groups.values()),
            k=k,
            **{status: self._statuses[status] for status in STATUSES},
            truncated=self._truncated,
            left_out=self._rows - kept,
            accuracy=mean(sum(c * times for _, c, times in groups), kept),
            pass_at_1=mean(sum(times * pass_at_k(n=n, c=c, k=1) for n, c, times in groups), judged),
            pass_at_k=mean(sum(times * pass_at_k(n=n, c=c, k=k) for n, c, times in groups), judged),
            equal_groups=mean(sum(times for n, c, times in groups if c in (0, n)), judged),
        )
