"""Which text of a completion is its answer, in the styles of current models and for all graders."""

import json
import time
from typing import get_args

import pytest

from asymreinforce.config import RewardConfig
from asymreinforce.grading.extraction import Reasoning, spoken_text
from asymreinforce.grading.graders import GRADERS, load_grader
from asymreinforce.grading.verdict import NO_ANSWER
from tests.fixtures.completions import COMPLETIONS


@pytest.mark.parametrize("kind", COMPLETIONS)
def test_a_completion_is_right_by_the_answer_that_it_ends_with(kind: str) -> None:
    verdicts = [
        (case, GRADERS[case[0]].grade(None, case[1], case[2]).score == 1.0)
        for case in COMPLETIONS[kind]
    ]
    assert [case for case, is_right in verdicts if is_right != case[3]] == []


def test_the_setting_says_what_is_read_of_a_block_without_an_end() -> None:
    begun, ended, plain = "<think>A</think>B<think>C", "A</think>B", "A"
    assert [spoken_text(text) for text in (begun, ended, plain)] == [None, "B", "A"]
    assert [spoken_text(text, "always") for text in (begun, ended, plain)] == [None, "B", None]
    assert [spoken_text(text, "ignored") for text in (begun, ended, plain)] == [begun, ended, plain]
    assert load_grader("exact", reasoning="always")(None, "A", "A") == NO_ANSWER
    assert load_grader("exact", reasoning="ignored")(None, ended, ended).score == 1.0
    assert get_args(Reasoning) == get_args(RewardConfig.model_fields["reasoning"].annotation)


@pytest.mark.parametrize("grader", ["math", "gsm8k", "multiple_choice"])
@pytest.mark.parametrize(
    "part",
    [
        *("####", "#### 1.\n", "A: x\n", "answer is ", "1 (", "(1,", "1*", "√", "<think></think>"),
        *("选", "a^", "sqrt(", r"\begin{align}", "((", " "),
    ],
)
def test_the_answer_of_a_hostile_text_is_found_in_time_linear_in_its_length(
    grader: str, part: str
) -> None:
    started = time.process_time()
    for text in (part * 20_000 + " 42", r"\boxed{1}" + part * 20_000):
        GRADERS[grader].grade(None, "A", text)
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    ("grader", "golds", "right", "wrong"),
    [
        ("math", [r"\frac12", r"x = 3"], [r"\boxed{0.5}", r"\boxed{3}"], r"\boxed{4}"),
        ("gsm8k", ["7", "8"], ["#### 7", "#### 8"], "#### 9"),
        ("multiple_choice", ["A", "C"], ["A", "The answer is C."], "B"),
        ("exact", ["Paris", "paris"], ["Paris", "paris"], "PARIS"),
        ("final_answer", ["1", "one"], ["Answer: 1", "Answer: one"], "Answer: 2"),
    ],
)
def test_any_of_several_gold_answers_is_right(
    grader: str, golds: list[str], right: list[str], wrong: str
) -> None:
    grade = GRADERS[grader].grade
    metadata = json.dumps({"gold_answers": golds})
    assert [grade(metadata, golds[0], text).score for text in right] == [1.0, 1.0]
    assert grade(metadata, golds[0], wrong).score == 0.0
    assert grade(None, golds[0], right[1]).score == 0.0
    assert grade(metadata, golds[0], "<think>") == NO_ANSWER
