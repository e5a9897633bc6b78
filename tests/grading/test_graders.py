import ast
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any, get_args

import pytest

from asymreinforce.data import contracts
from asymreinforce.errors import ConfigError
from asymreinforce.grading import extraction, math_answers
from asymreinforce.grading.candidates import find_candidates
from asymreinforce.grading.graders import GRADERS, identify
from asymreinforce.grading.inert import EVALUATED_FAMILIES, is_algebra, is_arithmetic, is_literal
from asymreinforce.grading.verdict import NO_ANSWER, Verdict, verdict_of
from tests.fixtures import hostile_grader as hostile


def grade(grader: str, *, gold: str, text: str, metadata: str | None = None) -> Any:
    return GRADERS[grader].grade(metadata, gold, text)


@pytest.mark.parametrize(
    ("text", "score", "answer"),
    [
        (" Answer: 5", 1.0, "5"),
        (" Steps: 4 5 5 Answer: 5", 1.0, "5"),
        (" Answer: 4 Answer: 5", 1.0, "5"),
        (" Answer: 5 Answer: 4", 0.0, "4"),
        ("Answer:\n  5 \nand so on", 1.0, "5"),
        (" Answer: 5 4 3 2 1", 0.0, "5 4 3 2 1"),
        (" Answer: 05", 0.0, "05"),
    ],
)
def test_the_final_answer_is_what_follows_the_last_mark(
    text: str, score: float, answer: str
) -> None:
    assert grade("final_answer", gold="5", text=text) == Verdict(score, answer, "ok")


@pytest.mark.parametrize("text", ["", " 5", " Answer 5", " Answer: 5 Answer:", " Answer: \n "])
def test_without_a_final_answer_there_is_no_score(text: str) -> None:
    assert grade("final_answer", gold="5", text=text) == NO_ANSWER


def test_exact_compares_all_but_the_space_around() -> None:
    assert grade("exact", gold="a b", text=" a b\n").score == 1.0
    assert grade("exact", gold="a b", text="a  b").score == 0.0
    assert grade("exact", gold="", text=" \n") == NO_ANSWER


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{7} is wrong, so \boxed{42}", "42"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\fbox{1} and \boxed {2}", "2"),
        (r"\boxed{1} then \boxed{2", "1"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"} \boxed{4}", "4"),
        (r"\boxed{5", None),
        (r"\boxed{}", None),
        ("5", None),
    ],
)
def test_the_last_box_whose_braces_match_counts(text: str, content: str | None) -> None:
    assert extraction.last_boxed(text) == content


def test_a_hundred_thousand_open_boxes_are_read_in_one_pass() -> None:
    assert extraction.last_boxed(r"\boxed{" * 100_000 + "1}") == "1"


@pytest.mark.parametrize(
    ("gold", "text", "score"),
    [
        ("42", r"\boxed{7} is wrong, so \boxed{42}", 1.0),
        (r"\frac{1}{2}", r"so it is \boxed{0.5}", 1.0),
        (r"\$40", r"\boxed{40}", 1.0),
        ("40", r"\boxed{\$40}", 1.0),
        ("x+1", r"\boxed{1+x}", 1.0),
        ("42", "Answer: 42", 1.0),
        ("42", "Answer: 41", 0.0),
        ("42", "The final answer is 42.", 1.0),
        ("42", r"\boxed{\text{no}}", 0.0),
    ],
)
def test_math_answers_are_compared_by_value(gold: str, text: str, score: float) -> None:
    assert grade("math", gold=gold, text=text).score == score


def test_math_without_any_number_has_no_answer() -> None:
    assert grade("math", gold="42", text="I do not know") == NO_ANSWER


def entry_of(family: str, **params: Any) -> tuple[dict[str, Any], str]:
    import reasoning_gym

    entry = reasoning_gym.create_dataset(family, seed=3, size=1, **params)[0]
    metadata = {"family": family, "params": params, "entry": entry}
    return entry, json.dumps(metadata, default=str)


@pytest.mark.parametrize("family", ["chain_sum", "spell_backward", "n_queens", "spiral_matrix"])
def test_a_reasoning_gym_task_scores_by_its_own_rule(family: str) -> None:
    entry, metadata = entry_of(family)
    answer = str(entry["answer"])
    for text in (f"so\nAnswer: {answer}", f"<answer>x</answer> <answer>{answer}</answer> done"):
        found = grade("reasoning_gym", gold=answer, text=text, metadata=metadata)
        assert (found.score, found.extracted_answer) == (1.0, answer.strip())
    assert grade("reasoning_gym", gold=answer, text="Answer: ~", metadata=metadata).score < 1.0
    assert grade("reasoning_gym", gold=answer, text=answer, metadata=metadata) == NO_ANSWER


@pytest.mark.parametrize("family", sorted(EVALUATED_FAMILIES))
def test_a_completion_cannot_run_code_through_a_tasks_own_scorer(
    family: str, tmp_path: Path
) -> None:
    _, metadata = entry_of(family)
    mark = tmp_path / "ran"
    for code in (f"open({str(mark)!r}, 'w')", f"__import__('os').mkdir({str(mark)!r})"):
        for answer in (code, f"[{code}]", f"1 + {code}"):
            text = f"<answer>{answer}</answer>"
            found = grade("reasoning_gym", gold="", text=text, metadata=metadata)
            assert found.status == "ok"
            assert found.score < 0.1
    assert not mark.exists()


def test_right_answers_pass_the_guard_of_their_families() -> None:
    for family in ("simple_integration", "polynomial_multiplication", "puzzle24", "n_queens"):
        entry, metadata = entry_of(family)
        answer = entry["answer"] or "(1+2)*8*1"
        guard = EVALUATED_FAMILIES[family]
        assert guard(str(answer)), (family, answer)
    entry, metadata = entry_of("simple_integration")
    text = f"Answer: {entry['answer']}"
    assert grade("reasoning_gym", gold="", text=text, metadata=metadata).score == 1.0


def test_every_family_whose_scorer_evaluates_is_guarded() -> None:
    import reasoning_gym.factory

    evaluating = set()
    for family, (dataset, _) in reasoning_gym.factory.DATASETS.items():
        tree = ast.parse(textwrap.dedent(inspect.getsource(dataset.score_answer)))
        calls = {
            getattr(node.func, "id", getattr(node.func, "attr", ""))
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
        }
        if calls & {"eval", "exec", "parse_expr", "sympify", "compile"}:
            evaluating.add(family)
    # These two evaluate the entry, or parse by a function of their own that has this name.
    assert evaluating - {"number_sorting", "propositional_logic"} == set(EVALUATED_FAMILIES)


def test_guards_know_what_can_call_something() -> None:
    assert is_literal("[[0, 1], [2, 'x']]") and is_literal("1 2 3\n4 5") and is_literal("_ Q _")
    assert not is_literal("[exit()]") and not is_literal("(lambda: 1)()")
    assert is_arithmetic("(3 + 4) * 5 / 2.5") and not is_arithmetic("print(1)")
    assert is_algebra("x**2*exp(x) + 3.5*C") and not is_algebra("exec(x)")
    assert not is_algebra("x.diff(x)") and not is_algebra("S('1')") and not is_algebra("x_1")


def test_grader_versions_name_what_decides_verdicts() -> None:
    assert identify("final_answer") == ("final_answer", "2")
    assert "math-verify-" in identify("math").version
    assert "antlr4-python3-runtime-4.9.3" in identify("math").version
    own = f"{hostile.__name__}:grade"
    assert identify(own).name == own
    assert len(identify(own).version) == 16


def test_a_users_grader_gets_another_version_when_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("raise SystemExit('it is not run to be named')")
    before = identify("mine:grade")
    (tmp_path / "mine.py").write_text("def grade(metadata, gold_answer, text): return 1.0")
    assert identify("mine:grade").version != before.version
    with pytest.raises(ConfigError, match="there is no module absent"):
        identify("absent:grade")
    with pytest.raises(ConfigError, match="no such grader; there are final_answer, exact"):
        identify("absent")


def test_what_a_grader_may_return_is_checked() -> None:
    assert verdict_of(True) == Verdict(1.0, None, "ok")
    assert verdict_of(0.25) == Verdict(0.25, None, "ok")
    assert verdict_of(None) == NO_ANSWER
    assert verdict_of(Verdict(1.0, "\ud800" + "x" * 5_000, "ok")).extracted_answer == (
        "?" + "x" * 999
    )
    for wrong in ("1", [1.0], float("inf"), Verdict(None, None, "ok"), Verdict(1.0, None, "fine")):  # type: ignore[arg-type]
        with pytest.raises((TypeError, ValueError)):
            verdict_of(wrong)


def test_light_and_stored_statuses_are_the_same() -> None:
    assert get_args(contracts.Status) == contracts.STATUSES


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{7}, no: \boxed{42}", "42"),
        (r"\boxed{42} Put it in \boxed{}.", "42"),
        (r"\\boxed{42}", "42"),
        (r"\boxed 42", "42"),
        (r"\boxed{41} Final Answer: The final answer is $42$. I hope it is correct.", "$42$"),
        (r"\boxed{42} #### Remark 1", "42"),
        (r"\boxed{42}, so the final answer is the sum of 40 and 2.", "42"),
        ("The answer is 42, not 41.", "42"),
        ("**Answer:** $x=42$", "$x=42$"),
        ("So 6 * 7 = 42.\n#### 42", "42"),
        ("<answer>42</answer>", "42"),
        ("Answer:\n\\[ 42 \\]", "42"),
        ("Thus $a=1$ and $b=42$.", "b=42"),
        ("It is 6 times 7, that is 42 apples.", "42"),
        ("We pay $1,042.50 in all.", "$1,042.50"),
        ("about 4.2 × 10^4 m", "4.2 × 10^4"),
        ("the ratio is 4:2.", "4:2"),
        ("x = 4 or x = 2", "x = 4 or x = 2"),
        ("A42B and 42nd", "42"),
        (r"\frac{4}{2}", r"\frac{4}{2}"),
    ],
)
def test_a_completion_ends_with_one_answer(text: str, answer: str) -> None:
    found = find_candidates(text)
    assert found is not None
    assert found.answer == answer


@pytest.mark.parametrize("text", ["", " \n", "I do not know", r"\boxed{}", "We let the sum be."])
def test_a_completion_may_give_none(text: str) -> None:
    assert find_candidates(text) is None


@pytest.mark.parametrize(
    ("gold", "text", "score"),
    [
        ("1,2", r"\boxed{1} and \boxed{2}", 1.0),
        ("1,2", r"\boxed{2}, \boxed{1}", 1.0),
        ("2", r"\boxed{1} and \boxed{2}", 1.0),
        ("1", r"\boxed{1} and \boxed{2}", 0.0),
        ("1,2", r"\boxed{1} is what we had. It is wrong and so we see \boxed{2}", 0.0),
        ("1,2,3", r"\boxed{1} and \boxed{2}", 0.0),
        ("1,2", "$1$ and $2$", 1.0),
        ("1", r"\boxed{1, 2}", 0.0),
        (r"So it is \boxed{1} or \boxed{2}.", "$1,2$", 1.0),
    ],
)
def test_boxes_side_by_side_are_a_list_where_the_gold_answer_is_one(
    gold: str, text: str, score: float
) -> None:
    assert grade("math", gold=gold, text=text).score == score


@pytest.mark.parametrize(
    ("gold", "text", "score", "answer"),
    [
        ("18", "9 + 9 = <<9+9=18>>18 eggs\nA: 18", 1.0, "18"),
        ("9 + 9 = <<9+9=18>>18\n#### 18", "so\n#### 18.0", 1.0, "18.0"),
        ("1,800", "They are 1800 in all.", 1.0, "1800"),
        ("18", r"\boxed{18} of 20", 1.0, "18"),
        ("18", "Answer: $18 for 2 days", 1.0, "$18"),
        ("18", "first 18, then 20", 0.0, "20"),
        ("-3", "A: -3", 1.0, "-3"),
        ("14", "A: 1.4", 0.0, "1.4"),
    ],
)
def test_gsm8k_compares_the_final_number(gold: str, text: str, score: float, answer: str) -> None:
    assert grade("gsm8k", gold=gold, text=text) == Verdict(score, answer, "ok")
    assert grade("gsm8k", gold=gold, text="none") == NO_ANSWER


@pytest.mark.parametrize(
    ("gold", "text", "answer"),
    [
        ("C", r"It cannot be A, so \boxed{\text{C}}", "C"),
        ("(C) Oslo", "The correct answer is (C).", "C"),
        ("C", "C. Oslo, since A and B are no cities", "C"),
        ("C", "**C**", "C"),
        ("C", "A is wrong. B is a river. I think it is C", "C"),
        ("C", "Answer: C) Oslo", "C"),
        ("C", "<answer>C</answer>", "C"),
        ("(C) Oslo", r"\boxed{\text{Oslo}}", r"\text{Oslo}"),
    ],
)
def test_a_choice_is_a_letter_however_it_is_written(gold: str, text: str, answer: str) -> None:
    assert grade("multiple_choice", gold=gold, text=text) == Verdict(1.0, answer, "ok")
    assert grade("multiple_choice", gold="(D) Rome", text=text).score == 0.0
    assert grade("multiple_choice", gold=gold, text="I do not know") == NO_ANSWER


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is not A.", None),
        ("It isn't (A).", None),
        ("The answer cannot be **A**.", None),
        ("The answer is not A but B.", "B"),
        ("The correct option is B, not A.", "B"),
        ("Neither A nor B. The answer is C.", "C"),
    ],
)
def test_a_choice_that_is_denied_is_no_answer(text: str, answer: str | None) -> None:
    expected = NO_ANSWER if answer is None else Verdict(0.0, answer, "ok")
    assert grade("multiple_choice", gold="A", text=text) == expected


def test_repeated_answers_are_compared_once_and_the_cache_is_bounded() -> None:
    math_answers.is_right_remembered.cache_clear()
    for sample in range(64):
        grade("math", gold="x+y", text=rf"sample {sample}: \boxed{{y+x}}")
    facts = math_answers.is_right_remembered.cache_info()
    assert (facts.misses, facts.hits, facts.maxsize) == (1, 63, 16_384)
    long = "x" * 600
    assert grade("math", gold=long, text=rf"\boxed{{{long}}}").score == 1.0
    assert math_answers.is_right_remembered.cache_info().currsize == 1
