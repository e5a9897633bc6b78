"""A gold answer that a grader cannot use is refused before anything is graded."""

from pathlib import Path

import pyarrow as pa
import pytest

from asymreinforce.errors import InputError
from asymreinforce.grading.graders import GRADERS
from asymreinforce.grading.questions import require_usable


def asked(grader: str, *golds: str) -> None:
    ids = [f"q{number}" for number in range(len(golds))]
    table = pa.table({"prompt_id": ids, "gold_answer": list(golds)})
    require_usable(grader, [table], where=Path("train.parquet"))


@pytest.mark.parametrize(
    ("grader", "gold", "needs"),
    [
        ("multiple_choice", "0", r"multiple_choice_from_0 if 0 is A"),
        ("multiple_choice", "None of these", "a letter A to J"),
        ("multiple_choice_from_0", "10", "a number 0 to 9"),
        ("multiple_choice_from_1", "0", "a number 1 to 10"),
        ("multiple_choice_from_0", "B", "task.grader=multiple_choice reads letters"),
        ("gsm8k", "a dozen", "a number; task.grader=math"),
        ("final_answer", "two\nlines", "one line; task.grader=exact"),
        ("exact", " ", r"a text \(task\.columns\.answer"),
        ("math", "", "a text"),
    ],
)
def test_a_gold_that_is_never_right_is_refused(grader: str, gold: str, needs: str) -> None:
    usable = {"multiple_choice": "A", "multiple_choice_from_0": "3"}.get(grader, "4")
    asked(grader, usable)
    with pytest.raises(
        InputError, match=rf"train\.parquet: task\.grader={grader} cannot use 1 of 2"
    ):
        asked(grader, usable, gold)
    with pytest.raises(InputError, match=needs):
        asked(grader, gold)


def test_every_one_of_several_golds_is_asked() -> None:
    golds = ['{"gold_answers": ["4", "5"]}', '{"gold_answers": ["4", "a dozen"]}']
    table = {"prompt_id": ["q0", "q1"], "gold_answer": ["4", "4"], "metadata": golds}
    with pytest.raises(InputError, match=r"cannot use 1 of 2 .* 'a dozen' of prompt q1"):
        require_usable("gsm8k", [pa.table(table)], where=Path("train.parquet"))


def test_what_a_users_own_grader_can_use_is_not_known() -> None:
    asked("my_graders:grade", "", "0")


@pytest.mark.parametrize(
    ("grader", "gold", "text", "score"),
    [
        ("multiple_choice_from_0", "1", "The answer is (B)", 1.0),
        ("multiple_choice_from_0", "1.0", r"\boxed{B}", 1.0),
        ("multiple_choice_from_0", "1", "The answer is (A)", 0.0),
        ("multiple_choice_from_1", "1", "The answer is (A)", 1.0),
    ],
)
def test_numbers_of_choices_are_letters(grader: str, gold: str, text: str, score: float) -> None:
    assert GRADERS[grader].grade(None, gold, text).score == score
