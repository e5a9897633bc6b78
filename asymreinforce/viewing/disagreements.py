"""Find the rollouts on which two graders, or two versions of a grader, disagree.

    find_disagreements(left, right) -> a count for each pair of outcomes, and some example rows

The input is two tables of verdicts; this module reads, grades and prints nothing. Extracted answers
are untrusted text: show them through `untrusted.py`.
"""

from collections import Counter
from typing import NamedTuple

import pyarrow as pa

from asymreinforce.config import RewardConfig
from asymreinforce.data.contracts import STATUSES
from asymreinforce.errors import InputError
from asymreinforce.rewards.scale import OUTCOMES, outcome_names, rewards_of

KEY = ["prompt_id", "sample"]
# without reward settings, graders are compared as they judged
AS_JUDGED = RewardConfig(truncated="as_judged")


class OutcomePair(NamedTuple):
    """The number of rows with the outcome `left` by one grader and `right` by the other."""

    left: str
    right: str
    rows: int


class Example(NamedTuple):
    """A row on which the graders differ; the answers are untrusted text."""

    prompt_id: str
    sample: int
    left: str
    right: str
    left_answer: str | None
    right_answer: str | None


class Disagreements(NamedTuple):
    """The outcomes that two graders gave to the rows that both judged.

    `pairs` holds every pair of outcomes that occurs, including agreements, in the order of
    `OUTCOMES`; `examples` holds the first few rows of each pair that differs, in the same order.
    """

    left: str
    right: str
    rows: int
    pairs: tuple[OutcomePair, ...]
    examples: tuple[Example, ...]
    only_left: int
    only_right: int
    """Rows that only this grader judged; `pairs` does not count them."""

    @property
    def differing(self) -> int:
        """The number of rows on which the graders differ."""
        return sum(pair.rows for pair in self.pairs if pair.left != pair.right)

    @property
    def agreement(self) -> float | None:
        """The share of common rows on which the graders agree; None if there are no such rows."""
        return 1.0 - self.differing / self.rows if self.rows else None


def find_disagreements(
    left: pa.Table, right: pa.Table, reward: RewardConfig = AS_JUDGED, *, examples: int = 3
) -> Disagreements:
    """Pair two sets of verdicts by (prompt_id, sample), and count the pairs of outcomes.

    Tables follow the VERDICTS contract, in any order. `reward` decides which rows are correct; by
    default only the graders decide. For each pair of outcomes that differ, the first `examples`
    rows in order of prompt and sample are kept. Raises `InputError` if a set repeats a row, or if
    the sets have no row in common.
    """
    names = (name_of(left), name_of(right))
    left_verdicts, right_verdicts = (
        _by_key(table, reward, name=name) for table, name in zip((left, right), names, strict=True)
    )
    both = sorted(left_verdicts.keys() & right_verdicts.keys())
    if not both and (left_verdicts or right_verdicts):
        raise InputError(
            f"{names[0]} and {names[1]}: no rollout has a verdict of both; "
            "name two sets of verdicts on the same rollouts"
        )
    counts: Counter[tuple[str, str]] = Counter()
    shown: list[Example] = []
    for key in both:
        (said, answer), (other, other_answer) = left_verdicts[key], right_verdicts[key]
        counts[said, other] += 1
        if said != other and counts[said, other] <= examples:
            shown.append(Example(*key, said, other, answer, other_answer))
    return Disagreements(
        *names,
        rows=len(both),
        pairs=tuple(OutcomePair(a, b, counts[a, b]) for a, b in sorted(counts, key=_outcome_order)),
        examples=tuple(sorted(shown, key=lambda row: _outcome_order((row.left, row.right)))),
        only_left=len(left_verdicts) - len(both),
        only_right=len(right_verdicts) - len(both),
    )


def name_of(verdicts: pa.Table) -> str:
    """Return the grader's name with the first part of its version: `math 2`."""
    if not len(verdicts):
        return "no verdicts"
    grader, version = (verdicts.column(name)[0].as_py() for name in ("grader", "grader_version"))
    return f"{grader} {version.partition('+')[0]}"


def _by_key(
    verdicts: pa.Table, reward: RewardConfig, *, name: str
) -> dict[tuple[str, int], tuple[str, str | None]]:
    statuses = verdicts.column("status").to_pylist()
    if unknown := sorted({*statuses} - {*STATUSES}):
        raise InputError(f"a verdict has the status {unknown[0]!r}, none of {', '.join(STATUSES)}")
    columns = (verdicts.column(column).to_pylist() for column in (*KEY, "extracted_answer"))
    called = outcome_names(statuses, rewards_of(verdicts, reward).correct_B)
    by_key = {
        (prompt_id, sample): (outcome, answer)
        for prompt_id, sample, answer, outcome in zip(*columns, called, strict=True)
    }
    # a repeated row would be counted once, by its last verdict
    if repeated := len(verdicts) - len(by_key):
        raise InputError(f"{name}: {repeated} verdicts repeat a (prompt_id, sample)")
    return by_key


def _outcome_order(pair: tuple[str, str]) -> tuple[int, int]:
    return OUTCOMES.index(pair[0]), OUTCOMES.index(pair[1])
