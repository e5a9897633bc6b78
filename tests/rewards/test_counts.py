import itertools

import pyarrow as pa
import pytest

from asymreinforce.config import RewardConfig
from asymreinforce.rewards.counts import VerdictCounts, pass_at_k


def verdicts(*rows: tuple[str, float | None, str, bool]) -> pa.Table:
    names = ("prompt_id", "score", "status", "truncated")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return pa.table({**columns, "score": pa.array(columns["score"], pa.float64())})


ROWS = (
    ("a", 1.0, "ok", False),
    ("a", 0.0, "ok", False),
    ("a", 1.0, "ok", True),
    ("a", None, "timeout", False),
    ("b", 1.0, "ok", False),
    ("b", 1.0, "ok", False),
    ("b", None, "error", False),
    ("b", None, "error", False),
    ("c", None, "no_answer", False),
    ("c", 0.5, "ok", False),
    ("c", 0.0, "ok", True),
    ("c", 0.0, "ok", False),
)


def test_counts_of_three_prompts_by_hand() -> None:
    tally = VerdictCounts(RewardConfig())
    tally.add(verdicts(*ROWS))
    facts = tally.facts(k=2)
    assert facts[:9] == (12, 3, 2, 8, 1, 1, 2, 2, 3)
    # Kept: a has 3 (1 right, a truncated one is wrong), b 2 (2 right), c 4 (0 right).
    assert facts.accuracy == pytest.approx(3 / 9)
    assert facts.pass_at_1 == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert facts.pass_at_k == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert facts.equal_groups == pytest.approx(2 / 3)


def test_the_scale_decides_what_counts() -> None:
    tally = VerdictCounts(
        RewardConfig(
            correct_at=0.5, truncated="as_judged", unjudged="incorrect", no_answer="exclude"
        )
    )
    tally.add(verdicts(*ROWS))
    facts = tally.facts(k=1)
    assert facts.left_out == 1
    assert facts.accuracy == pytest.approx((2 + 2 + 1) / 11)


def test_chunks_add_up() -> None:
    whole, parts = VerdictCounts(RewardConfig()), VerdictCounts(RewardConfig())
    whole.add(verdicts(*ROWS))
    for start in (0, 4, 8):
        parts.add(verdicts(*ROWS[start : start + 4]))
    assert parts.facts(k=4) == whole.facts(k=4)


def test_nothing_counted_gives_no_shares() -> None:
    facts = VerdictCounts(RewardConfig()).facts(k=8)
    assert (facts.rows, facts.accuracy, facts.pass_at_k, facts.equal_groups) == (
        0,
        None,
        None,
        None,
    )
    assert "accuracy -" in facts.line


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 1), (5, 2, 3), (8, 3, 8), (6, 0, 2), (6, 6, 2)])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n: int, c: int, k: int) -> None:
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n=n, c=c, k=k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
