r"""Whether two answers say the same: by their value, their words, their parts, and algebra last.

    equivalent(r"\frac{1}{2}", "0.5")        equivalent("(1, 2)", "(1,2)")

The rules stand in `RULES`, in the order in which they are asked; the first that knows decides.
Numbers come first, words are compared only if both sides are letters alone, and what no rule
proves equal is unequal. docs/graders.md says in words what counts as equal.
"""

import functools
import re

from asymreinforce.grading.math import points, structure, symbolic, units, wording
from asymreinforce.grading.math.arithmetic import TooLarge
from asymreinforce.grading.math.collections import Same, base, collections, matrices
from asymreinforce.grading.math.notation import CLOSE, LONGEST, OPEN, canonical, squeezed
from asymreinforce.grading.math.numerals import THOUSANDS, equal_values, number
from asymreinforce.grading.math.ranges import same_set
from asymreinforce.grading.math.structure import assignment, peeled

MOST_DEPTH = 6
LONGEST_PARTED = 2_000
"""Characters of an answer that is more than text or number."""
BASED = re.compile(
    rf"(?P<opening>\()?{OPEN}?([0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?){CLOSE}?(?(opening)\))"
    rf"\s*_\s*\{{?\s*{OPEN}?\s*(\d+|[a-z]+)\s*{CLOSE}?\s*\}}?"
)
BASES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
POINTED = re.compile(r"[-+]?\d*\.\d+%?")
"""A decimal with a point, beside which a comma before other than three digits is one too."""
DIGITS = re.compile(r"[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?")
PARAMETER = re.compile(
    rf"[,;]?\s*\(?(?:{OPEN}[^{CLOSE}]*{CLOSE})?\s*([a-z])\s*\\in\s*\\mathbb\s*\{{?[ZN]\}}?\)?$"
)
"""A letter that stands for any integer, which most leave unsaid."""
ALGEBRA = re.compile(r"\\(?:sum|prod|int|lim|begin|max|min|gcd|lcm|det|[bp]?mod)(?![a-z])")
"""What math-verify is asked for. Of other texts it reads a part, and leaves the rest out."""
ARITHMETIC = re.compile(r"(?:[\d\s.+\-*/^!(){}]|\\(?:sqrt|cdot|times|pi)(?![A-Za-z]))+")
WELL_FORMED = re.compile(
    r"(?![.!,/^_=*&)\]>])(?:\\begin\{[a-zA-Z]+\*?\}|\\end\{[a-zA-Z]+\*?\}|\\[A-Za-z]+|\\[\\{}]"
    r"|(?<![A-Za-z])[A-Za-z]{1,3}(?![A-Za-z])|[\d\s{}()\[\]<>|+\-*/^_=!.,&])+(?<![-.,/^_=+*&(\[<])"
)


def equivalent(gold: str, answer: str) -> bool:
    """Tell whether a bare answer says the same as the gold answer; any text may be given."""
    if gold == answer:
        return bool(gold.strip())
    gold, answer = canonical(gold), canonical(answer)
    if max(len(gold), len(answer)) > LONGEST:
        return gold == answer
    return bool(gold and answer) and _same(gold, answer, depth=0)


def _same(gold: str, answer: str, *, depth: int) -> bool:
    gold, answer = (_plain(text) for text in (gold, answer))
    if squeezed(gold) == squeezed(answer):
        return bool(gold)
    if depth > MOST_DEPTH:
        return False
    same = functools.partial(_deeper, depth=depth + 1)
    rules = RULES if max(len(gold), len(answer)) <= LONGEST_PARTED else (numbers,)
    try:
        for rule in rules:
            verdict = rule(gold, answer, same)
            if verdict is not None:
                return verdict
    except TooLarge:
        pass  # it is written shortly, and not in the same way
    return False


def _deeper(gold: str, answer: str, depth: int) -> bool:
    return _same(gold, answer, depth=depth)


def _plain(text: str) -> str:
    text = peeled(wording.meant(text))
    parameter = PARAMETER.search(text)
    if parameter and re.search(
        rf"(?<![A-Za-z]){parameter[1]}(?![A-Za-z])", text[: parameter.start()]
    ):
        text = text[: parameter.start()]
    return text


def numbers(gold: str, answer: str, same: Same) -> bool | None:
    """Compare values; None unless both are numbers. A unit may be left out, not exchanged."""
    one, _ = units.without_unit(gold)
    other, other_unit = units.without_unit(answer, bare_letters=not re.search("[A-Za-z]", one))
    one, unit = units.without_unit(gold, bare_letters=other_unit is not None)
    commas = [text for text in (one, other) if "," in text]
    has_comma = POINTED.fullmatch(one) or POINTED.fullmatch(other)
    value, other_value = (number(text, decimal_comma=bool(has_comma)) for text in (one, other))
    agree = unit is None or other_unit is None or unit == other_unit or "unit" in (unit, other_unit)
    if value is not None and other_value is not None:
        return agree and equal_values(value, other_value)
    if (one, other) != (gold, answer):
        return agree and same(one, other)
    if len(commas) == 2 and any(THOUSANDS.fullmatch(text) for text in commas):
        members = [sorted(map(squeezed, structure.split(text, structure.COMMA))) for text in commas]
        return None if members[0] == members[1] or structure.bracketed(commas[1]) else False
    return None


def based(gold: str, answer: str, same: Same) -> bool | None:
    """Compare numerals with their bases; one without a base has the other's."""
    one, other = BASED.fullmatch(gold), BASED.fullmatch(answer)
    if one and other:
        return one[2].upper() == other[2].upper() and _base(one[3]) == _base(other[3])
    if one and DIGITS.fullmatch(answer):
        return one[2].upper() == answer.upper()
    if other and DIGITS.fullmatch(gold):
        return _base(other[3]) == "10" and other[2] == gold
    return None


def _base(name: str) -> str:
    return str(BASES.index(name) + 2) if name in BASES else name


def words(gold: str, answer: str, same: Same) -> bool | None:
    """Compare choices by their letters, and words if both sides are letters alone."""
    chosen = wording.choice(gold, answer)
    if chosen is not None:
        return chosen
    for text, other in ((gold, answer), (answer, gold)):
        if (behind := wording.without_letter(text)) is not None:
            return same(behind, other) if text is answer else same(other, behind)
    said = [wording.words(text) for text in (gold, answer)]
    if None not in said or r"\emptyset" in (gold, answer):
        return said[0] == said[1] and None not in said
    return None


def sets_of_reals(gold: str, answer: str, same: Same) -> bool | None:
    """Compare intervals, inequalities and unions, if one of the two can be nothing else."""
    return same_set(gold, answer)


def relations(gold: str, answer: str, same: Same) -> bool | None:
    """Compare `x = 5` with 5, and equations and inequalities with each other at points."""
    one, other = structure.chain(gold), structure.chain(answer)
    if other and _is_contradictory(other):
        return False
    mine, yours = assignment(gold), assignment(answer)
    if mine and yours:
        if base(mine[0]) == base(yours[0]):
            return same(mine[1], yours[1])
        if not structure.has_variable(mine[1]) and not structure.has_variable(yours[1]):
            return False
    elif mine and other is None:
        return same(mine[1], answer)
    elif yours and one is None and other is None:
        return same(gold, yours[1])
    if one is None or other is None:
        stated = _stated(answer) if one is None and other else ()
        return any(same(gold, value) for value in stated) if stated or one or other else None
    if len(one.terms) == len(other.terms) > 2:
        one, other = structure.rising(one), structure.rising(other)
        return one.relations == other.relations and all(map(same, one.terms, other.terms))
    return _same_relation(one, other)


def _same_relation(gold: structure.Chain, answer: structure.Chain) -> bool:
    gold, answer = structure.rising(gold), structure.rising(answer)
    if len(gold.terms) != 2 or len(answer.terms) != 2 or gold.relations != answer.relations:
        return False
    sign = points.ratio_sign(gold.terms, answer.terms)
    return sign > 0 or (sign < 0 and gold.relations[0] in ("=", r"\ne"))


def _is_contradictory(chain: structure.Chain) -> bool:
    """Tell whether an equality of numbers does not hold: `41=42`.

    Behind a name the last term counts, as other projects' cases have it: `x = 5+5+1 = 7 = 11`.
    """
    if set(chain.relations) != {"="} or structure.is_name(chain.terms[0]):
        return False
    numerals = [term for term in chain.terms if ARITHMETIC.fullmatch(term)]
    values = [value for term in numerals if (value := points.constant(term)) is not None]
    rounded = any("." in term for term in numerals)
    is_equal = points.is_near if rounded else points.agree
    return any(not is_equal(values[0], value) for value in values[1:])


def _stated(answer: str) -> tuple[str, ...]:
    r"""Return the value that an equality states: `x=5`, `\sqrt{16}=4`, `a+b=5`, not `x-3=0`.

    `\sqrt{2} \approx 1.414` states both, if they are as near as that.
    """
    found, pair = structure.chain(answer), assignment(answer)
    if found is None or not set(found.relations) <= {"=", r"\approx", r"\in", r"\equiv"}:
        return ()
    value = pair[1] if pair else structure.stated(found)
    first = found.terms[0]
    if value.strip() == "0" and structure.has_variable(first) and not structure.is_name(first):
        return ()
    if found.relations[-1] == r"\approx" and points.near(value, found.terms[-1]):
        return (value, found.terms[-1])
    return (value,)


def expressions(gold: str, answer: str, same: Same) -> bool | None:
    """Compare expressions at points; what is not read there by math-verify, unless it has words."""
    gold, answer = (re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text) for text in (gold, answer))
    verdict = points.same_at_points(gold, answer)
    is_algebra = ALGEBRA.search(gold) or ALGEBRA.search(answer)
    if verdict is None and is_algebra and all(map(WELL_FORMED.fullmatch, (gold, answer))):
        return symbolic.equal(*(text.replace("°", r"^{\circ}") for text in (gold, answer)))
    return verdict


RULES = (numbers, based, words, matrices, sets_of_reals, collections, relations, expressions)
