"""Changed gold answers: what is still called right is equal, or so by a rule that docs state."""

import os
import random
from pathlib import Path

import pytest

from scripts.mutate_answers import accepted, golds_of_math, rule
from tests.fixtures.answer_pairs import SAME

DATA = os.environ.get("ASYMRL_TEST_DATA")


def unexplained(golds: list[str]) -> list[tuple[str, str]]:
    return [(gold, mutant) for _, gold, mutant, by in accepted(golds) if by is None]


def test_no_change_by_a_sign_of_a_made_up_gold_is_accepted_without_a_rule() -> None:
    kinds = ("numbers", "fractions", "tuples, lists and sets", "expressions", "matrices")
    read = (gold for kind in kinds for gold, _ in SAME[kind])
    golds = sorted({gold for gold in read if r"\pm" not in gold and r"\langle" not in gold})
    assert unexplained(random.Random(0).sample(golds, 50)) == []


@pytest.mark.skipif(
    DATA is None or not (Path(DATA) / "math_test.parquet").is_file(),
    reason="ASYMRL_TEST_DATA names no directory with the gold answers of MATH",
)
def test_no_change_by_a_sign_of_300_golds_of_math_is_accepted_without_a_rule() -> None:
    golds = random.Random(1).sample(golds_of_math(Path(str(DATA))), 300)
    assert unexplained(golds) == []


@pytest.mark.parametrize(
    ("gold", "mutant"),
    [
        ("5", ".5"),
        ("n", "n!"),
        ("(5,1)", "(.5,1)"),
        ("x", "x'"),
        ("N", "n"),
        ("2", r"2\text{ million}"),
    ],
)
def test_the_rules_explain_no_wrong_value(gold: str, mutant: str) -> None:
    assert rule(gold, mutant) is None
