import pyarrow as pa
import pytest

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.errors import InputError
from asymreinforce.viewing.disagreements import Example, OutcomePair, find_disagreements

Said = tuple[str, int, str, float | None, str | None]


def verdicts(grader: str, *said: Said) -> pa.Table:
    prompt_ids, samples, statuses, scores, answers = zip(*said, strict=True) if said else [()] * 5
    return contracts.make_table(
        contracts.VERDICTS,
        {
            "prompt_id": list(prompt_ids),
            "sample": list(samples),
            "status": list(statuses),
            "truncated": [False] * len(said),
            "grader": [grader] * len(said),
            "grader_version": ["2+library-1.0"] * len(said),
            "score": list(scores),
            "extracted_answer": list(answers),
        },
    )


GSM8K = verdicts(
    "gsm8k",
    ("a", 0, "ok", 1.0, "5"),
    ("a", 1, "ok", 0.0, "4"),
    ("b", 0, "ok", 0.0, "0.5"),
    ("b", 1, "no_answer", None, None),
    ("c", 0, "ok", 0.0, "1/2"),
)
MATH = verdicts(
    "math",
    ("c", 0, "ok", 1.0, "1/2"),
    ("b", 1, "timeout", None, None),
    ("b", 0, "ok", 1.0, "0.5"),
    ("a", 1, "ok", 0.0, "4"),
    ("a", 0, "ok", 1.0, "5"),
)


def test_pairs_of_outcomes_are_counted_and_rows_that_differ_are_shown() -> None:
    found = find_disagreements(GSM8K, MATH)
    assert (found.left, found.right) == ("gsm8k 2", "math 2")
    assert found.pairs == (
        OutcomePair("correct", "correct", 1),
        OutcomePair("incorrect", "correct", 2),
        OutcomePair("incorrect", "incorrect", 1),
        OutcomePair("no_answer", "timeout", 1),
    )
    assert found.examples == (
        Example("b", 0, "incorrect", "correct", "0.5", "0.5"),
        Example("c", 0, "incorrect", "correct", "1/2", "1/2"),
        Example("b", 1, "no_answer", "timeout", None, None),
    )
    assert (found.rows, found.differing, found.agreement) == (5, 3, 2 / 5)


def test_the_order_of_the_rows_changes_nothing() -> None:
    backwards = GSM8K.take([4, 3, 2, 1, 0])
    assert find_disagreements(backwards, MATH) == find_disagreements(GSM8K, MATH)


def test_a_pair_shows_so_many_examples_and_counts_all() -> None:
    found = find_disagreements(GSM8K, MATH, examples=1)
    assert [(row.prompt_id, row.sample) for row in found.examples] == [("b", 0), ("b", 1)]
    assert found.differing == 3


def test_rows_of_one_set_alone_are_counted_apart() -> None:
    found = find_disagreements(GSM8K.slice(0, 3), MATH.slice(2))
    assert (found.rows, found.only_left, found.only_right) == (3, 0, 0)
    found = find_disagreements(GSM8K.slice(1), MATH.slice(1))
    assert (found.rows, found.only_left, found.only_right) == (3, 1, 1)


def test_partial_scores_count_as_correct_from_the_setting_on() -> None:
    half = verdicts("mine", ("a", 0, "ok", 0.5, "5"))
    assert find_disagreements(half, MATH.slice(4)).pairs == (
        OutcomePair("incorrect", "correct", 1),
    )
    assert find_disagreements(half, MATH.slice(4), RewardConfig(correct_at=0.5)).differing == 0


def test_sets_that_share_no_row_or_repeat_one_are_errors() -> None:
    with pytest.raises(InputError, match="no rollout has a verdict of both"):
        find_disagreements(GSM8K.slice(0, 2), MATH.slice(0, 2))
    with pytest.raises(InputError, match="1 verdicts repeat"):
        find_disagreements(pa.concat_tables([GSM8K, GSM8K.slice(0, 1)]), MATH)
    assert find_disagreements(verdicts("a"), verdicts("b")).agreement is None
