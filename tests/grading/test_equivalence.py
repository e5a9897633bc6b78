"""What counts as the same answer, on answers made up for it; graders.md says it in words."""

import logging
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymreinforce.grading.candidates import find_candidates
from asymreinforce.grading.math import structure
from asymreinforce.grading.math.arithmetic import TooLarge
from asymreinforce.grading.math.equivalence import equivalent
from asymreinforce.grading.math.notation import canonical
from asymreinforce.grading.math.numerals import read_number
from asymreinforce.grading.math.points import constant_value
from asymreinforce.grading.math.wording import without_unit
from tests.fixtures.answer_pairs import DIFFERENT, SAME

logging.getLogger("math_verify").setLevel(logging.ERROR)
ONE_WAY = {
    # A gold answer that says more than its value is not matched by the value alone.
    ("13", "m+n=13"),
    ("1.732", r"\sqrt{3}\approx 1.732"),
    ("12", "12 m"),
}
"""Pairs of which the second is right as an answer and not as a gold answer."""


@pytest.mark.parametrize("kind", SAME)
def test_answers_that_say_the_same_are_equal_both_ways(kind: str) -> None:
    missed = [pair for pair in SAME[kind] if not equivalent(gold=pair[0], answer=pair[1])]
    missed += [
        (answer, gold)
        for gold, answer in SAME[kind]
        if (gold, answer) not in ONE_WAY and not equivalent(gold=answer, answer=gold)
    ]
    assert missed == []


@pytest.mark.parametrize("kind", DIFFERENT)
def test_answers_that_differ_are_not_equal(kind: str) -> None:
    assert [pair for pair in DIFFERENT[kind] if equivalent(gold=pair[0], answer=pair[1])] == []


def test_every_answer_equals_itself_and_each_is_at_most_of_one_class() -> None:
    golds = {pair[0] for kind in (*SAME.values(), *DIFFERENT.values()) for pair in kind}
    assert [gold for gold in golds if not equivalent(gold=gold, answer=gold)] == []


FORMS = (
    lambda q: f"{q.numerator}/{q.denominator}",
    lambda q: rf"\frac{{{q.numerator}}}{{{q.denominator}}}",
    lambda q: rf"\dfrac{{{2 * q.numerator}}}{{{2 * q.denominator}}}",
    lambda q: rf"x = {q.numerator} / {q.denominator}",
    lambda q: rf"$\left({q.numerator} \div {q.denominator}\right)$",
    lambda q: rf"{q.numerator} \cdot {q.denominator}^{{-1}}",
    lambda q: f"{q.numerator * 100}/{q.denominator}%",
)
FRACTIONS = st.fractions(min_value=-99, max_value=99, max_denominator=99)


@given(FRACTIONS, st.sampled_from(FORMS), st.sampled_from(FORMS[:-1]))
@settings(deadline=None, max_examples=150)
def test_a_fraction_is_itself_in_every_form(
    fraction: Fraction, written: object, gold: object
) -> None:
    assert callable(written) and callable(gold)
    assert equivalent(gold=gold(fraction), answer=written(fraction))


@given(FRACTIONS, FRACTIONS, st.sampled_from(FORMS[:-1]))
@settings(deadline=None, max_examples=150)
def test_two_fractions_are_equal_only_if_they_are(
    one: Fraction, other: Fraction, written: object
) -> None:
    assert callable(written)
    assert equivalent(gold=str(one), answer=written(other)) == (one == other)


@given(st.text(alphabet=r"\{}()[]$^_,;.%&=<>|0123456789abxfrcqst \n⟦⟧", max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_text_is_read_without_an_error_and_canonical_text_stays_so(text: str) -> None:
    once = canonical(text)
    assert structure.peel_brackets(once) is not None
    structure.read_chain(once)
    structure.list_members(once)
    without_unit(once)
    assert equivalent(text, text) == bool(text.strip())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2+3*4", Fraction(14)),
        ("-2^2", Fraction(-4)),
        ("2^3^2", Fraction(512)),
        ("(1+2)(3-5)", Fraction(-6)),
        (r"2\frac{3}{4}", Fraction(11, 4)),
        (r"2\frac{4}{3}", Fraction(8, 3)),
        ("7/2/2", Fraction(7, 4)),
        ("27^{2/3}", Fraction(9)),
        (r"\sqrt{\frac{9}{16}}", Fraction(3, 4)),
        ("5!/3!", Fraction(20)),
        (r"\binom{6}{2}", Fraction(15)),
        ("1.5e-3", Fraction(3, 2000)),
        ("(" * 3_000 + "8" + ")" * 3_000, Fraction(8)),
    ],
)
def test_arithmetic_is_exact(text: str, expected: Fraction) -> None:
    assert constant_value(text) == expected


@pytest.mark.parametrize("text", ["x", "", "2 3", "1/0", "(1", "1)", "0^0", "x'", "3+", "7'"])
def test_what_has_no_value_is_no_number(text: str) -> None:
    assert constant_value(text) is None


@pytest.mark.parametrize(
    "text", ["9^9^9", "(10^{1000})^{1000000}", "99999!", "1" * 5_000, "1e999999"]
)
def test_what_is_too_large_is_refused_before_it_is_computed(text: str) -> None:
    with pytest.raises(TooLarge):
        constant_value(text)


@pytest.mark.parametrize(
    ("gold", "answer", "is_equal"),
    [
        (r"28\%", "28", True),
        (r"28\%", "28 percent", True),
        (r"28\%", "0.28", True),
        ("0.28", r"28\%", True),
        (r"28\%", r"\frac{7}{25}", True),
        (r"28.5\%", "0.285", True),
        (r"28\%", r"2800\%", False),
        (r"28\%", "2.8", False),
        ("28", r"2.8\%", False),
        (r"\frac{100}{3}\%", r"33\frac{1}{3}\%", True),
        (r"x\%", r"y\%", False),
    ],
)
def test_percentages_do_not_depend_on_the_antlr_runtime(
    gold: str, answer: str, is_equal: bool
) -> None:
    """math-verify's verdicts on them flip between 4.9 and 4.13; these never get there."""
    assert equivalent(gold=gold, answer=answer) is is_equal


def test_numbers_keep_what_they_were_written_with() -> None:
    assert read_number("1,250.50") == (Fraction(2501, 2), False, None)
    assert read_number("12.5%") == (Fraction(25, 2), True, None)
    assert read_number("2,5", decimal_comma=True) == (Fraction(5, 2), False, None)
    assert read_number("0.1666667") == (Fraction(1666667, 10**7), False, Fraction(1, 10**7))
    assert read_number(r"2.31481 \times 10^{-3}") == (
        Fraction(231481, 10**8),
        False,
        Fraction(1, 10**8),
    )
    assert read_number("2,5") is None
    assert read_number(r"0.1\overline{6}") == (Fraction(1, 6), False, None)
    assert read_number("4 2") is None


def test_structures_are_cut_only_where_no_bracket_is_open() -> None:
    assert structure.split_outside("(1,2),[3,4),5", structure.COMMA) == ["(1,2)", "[3,4)", "5"]
    assert structure.split_outside("(1,2", structure.COMMA) == ["(1,2"]
    assert structure.list_members(r"2\pm\sqrt{3}") == [r"2+\sqrt{3}", r"2-\sqrt{3}"]
    assert structure.read_chain("0 < x < 1") == (("0", "x", "1"), ("<", "<"))
    assert structure.read_assignment("x = 2+3 = 5") == ("x", "5")
    assert structure.read_assignment("2x + z = 1") is None
    assert structure.peel_brackets("((x+1))") == "x+1"
    assert structure.peel_brackets("(1,2)") == "(1,2)"
    assert structure.peel_brackets("(1)(2)") == "(1)(2)"
    assert structure.read_assignment("5 = x") == ("x", "5")
    assert structure.read_assignment("A(1,2)") == ("A", "(1,2)")


def test_units_are_told_from_variables_and_from_each_other() -> None:
    assert without_unit(canonical(r"15\text{ cm}^2")) == ("15", "cm")
    assert without_unit("15 square feet") == ("15", "foot")
    assert without_unit("3 x") == ("3 x", None)
    assert without_unit("3 m") == ("3 m", None)
    assert without_unit("3 m", bare_letters=True) == ("3", "m")
    assert without_unit("6:45 pm") == ("6:45 pm", None)


LONG = [
    *("(" * 9_000, "{" * 9_000, "[" * 9_000 + "]" * 9_000, "1," * 9_000, "x=" * 9_000, "x<" * 990),
    *("\\frac" * 390, "^" * 9_000, r"\text{" * 320, "and " * 490, "a_" * 990, "1 " * 990),
    *("{(" * 4_000 + "x" + ")}" * 4_000, "-" * 19_000 + "1", r"\pm 1" * 390, "$ " * 9_000),
    *(r"\[ " * 9_000, " " * 90_000 + "x", "answer is " * 9_000, "Final answer: " * 8_000),
    *("\\" * 50_000, "*" * 50_000, "1/" * 20_000, "1,000" * 20_000, r"\boxed{1} and " * 9_000),
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:6])
def test_a_hostile_text_is_read_and_compared_in_time_linear_in_its_length(text: str) -> None:
    started = time.process_time()
    given = find_candidates(text + " 42")
    assert given is None or len(given.answer) <= len(text) + 3
    for gold in ("1", "1,2"):
        assert not equivalent(gold=gold, answer=text)
    assert time.process_time() - started < 2.0


def test_other_modules_know_of_the_mathematics_only_whether_two_answers_are_equivalent() -> None:
    package = Path(__file__).parents[2] / "asymreinforce"
    inside = package / "grading" / "math"
    imports = {
        line.strip()
        for path in package.rglob("*.py")
        if inside not in path.parents
        for line in path.read_text().splitlines()
        if "grading.math " in line or "grading.math." in line
    }
    assert imports == {"from asymreinforce.grading.math.equivalence import equivalent"}
