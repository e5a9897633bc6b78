r"""Whether two answers say the same: by their text, their value, their parts, and algebra last.

    equivalent(gold=r"\frac{1}{2}", answer="0.5")        equivalent(gold="(1, 2)", answer="(1,2)")

What is cheap and exact comes first and decides: numbers by their value (`arithmetic.py`), words by
their letters, lists, tuples, intervals and matrices part by part. Only expressions in variables
or irrational numbers reach math-verify (`symbolic.py`). docs/graders.md says what counts as equal.
"""

import functools
import re

from asymreinforce.grading.math import numeric, structure, symbolic
from asymreinforce.grading.math.arithmetic import TooLarge
from asymreinforce.grading.math.collections import Same, all_same, base, collections, matrices
from asymreinforce.grading.math.notation import CLOSE, LONGEST, OPEN, canonical, squeezed
from asymreinforce.grading.math.numerals import equal_values, number
from asymreinforce.grading.math.structure import assignment, peeled
from asymreinforce.grading.math.units import without_unit
from asymreinforce.grading.math.wording import LEAD, same_words

MOST_DEPTH = 6
LONGEST_PARTED = 2_000
"""Characters, without brackets around the whole, of an answer that is more than text or number."""
BASED = re.compile(
    rf"{OPEN}?([0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?){CLOSE}?\s*_\s*\{{?{OPEN}?(\d+|[a-z]+){CLOSE}?\}}?"
)
PLAIN_DIGITS = re.compile(r"[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?")


def equivalent(*, gold: str, answer: str) -> bool:
    """Tell whether a bare answer says the same as the gold answer; any text may be given."""
    gold, answer = (LEAD.sub("", canonical(text)) for text in (gold, answer))
    if max(len(gold), len(answer)) > LONGEST:
        return gold == answer
    return bool(gold and answer) and _same(gold, answer, depth=0)


def _same(gold: str, answer: str, *, depth: int) -> bool:
    if squeezed(gold) == squeezed(answer):
        return bool(gold)
    if depth > MOST_DEPTH:
        return False
    gold, answer = peeled(gold), peeled(answer)
    same = functools.partial(_deeper, depth=depth + 1)
    if max(len(gold), len(answer)) > LONGEST_PARTED:
        return _same_number(gold, answer)
    if (verdict := same_words(gold, answer)) is not None:
        return verdict
    try:
        for decide in (_based, _numbers, matrices, collections, _relations):
            verdict = decide(gold, answer, same)
            if verdict is not None:
                return verdict
    except TooLarge:
        return False  # written shortly, and not in the same way
    return symbolic.equal(_latex(gold), _latex(answer))


def _same_number(gold: str, answer: str) -> bool:
    try:
        here, there = number(gold), number(answer)
    except TooLarge:
        return False
    return here is not None and there is not None and equal_values(here, there)


def _deeper(gold: str, answer: str, depth: int) -> bool:
    return _same(gold, answer, depth=depth)


def _latex(text: str) -> str:
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text) if text.count(",") == 1 else text
    return text.replace(OPEN, r"\text{").replace(CLOSE, "}")


def _based(gold: str, answer: str, same: Same) -> bool | None:
    """Compare numerals with their bases; one without a base has the other's."""
    here, there = BASED.fullmatch(gold), BASED.fullmatch(answer)
    if here and there:
        return (here[1].upper(), here[2]) == (there[1].upper(), there[2])
    if here and PLAIN_DIGITS.fullmatch(answer):
        return here[1].upper() == answer.upper()
    if there and PLAIN_DIGITS.fullmatch(gold):
        return there[2] in ("10", "ten") and there[1] == gold
    return False if (here and _is_value(answer)) or (there and _is_value(gold)) else None


def _is_value(text: str) -> bool:
    return numeric.at(text, numeric.POINTS[0]) is not None


def _numbers(gold: str, answer: str, same: Same) -> bool | None:
    """Compare values; None unless both are numbers. A unit may be left out, not exchanged."""
    here, unit = without_unit(gold)
    there, other_unit = without_unit(answer, bare_letters=not re.search("[A-Za-z]", here))
    single = "," not in here or "," not in there
    value = number(here, decimal_comma=single)
    other = number(there, decimal_comma=single)
    if value is None or other is None:
        if (here, there) != (gold, answer) and here and there:
            return _agree(unit, other_unit) and same(here, there)
        return None
    if "," in here + there and not equal_values(value, other):
        return None  # perhaps a list
    return _agree(unit, other_unit) and equal_values(value, other)


def _agree(unit: str | None, other: str | None) -> bool:
    return unit is None or other is None or unit == other or "unit" in (unit, other)


def _relations(gold: str, answer: str, same: Same) -> bool | None:
    """Compare `x = 5` with 5, equations with equations, `x > 3` with an interval."""
    here, there = structure.chain(gold), structure.chain(answer)
    if here is None and there is None:
        return None
    if here and there and len(here.terms) == len(there.terms) > 2:
        ordered, other = structure.rising(here), structure.rising(there)
        if ordered and other:
            return ordered.relations == other.relations and all_same(
                [*ordered.terms], [*other.terms], same
            )
    mine, yours = assignment(gold), assignment(answer)
    if mine and yours:
        if base(mine[0]) == base(yours[0]) or mine[0][:1] == yours[0][:1] == "(":
            return same(mine[1], yours[1])
        is_open = structure.has_variable(mine[1]) or structure.has_variable(yours[1])
        return None if is_open else False
    if mine and there is None:
        return same(mine[1], answer)
    if here is None and there is not None:
        stated = _stated(there)
        if not stated and (set(there.relations) == {"="} or _is_value(gold)):
            return False
        return any(same(gold, value) for value in stated) if stated else None
    return None if there is not None else False


def _stated(found: structure.Chain) -> tuple[str, ...]:
    r"""Return the value that an equality states: `x=5`, `\sqrt{16}=4`, `a+b=5`, not `x-3=0`.

    `\sqrt{2} \approx 1.414` states both.
    """
    if not set(found.relations) <= {"=", r"\approx", r"\in", r"\equiv"}:
        return ()
    value = structure.stated(found)
    first = found.terms[0]
    if value.strip() == "0" and structure.has_variable(first) and not structure.is_name(first):
        return ()
    return (value, found.terms[-1]) if found.relations[-1] == r"\approx" else (value,)
