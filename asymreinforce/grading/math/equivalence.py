r"""Tell whether two answers say the same: by value, by words, by parts, and last by algebra.

`RULES` lists the rules in order. The first rule that returns True or False decides; answers that no
rule proves equal are unequal. docs/reference/graders.md says in words which answers are equal.
"""

import functools
import re

from asymreinforce.grading.math import points, structure, wording
from asymreinforce.grading.math.arithmetic import TooLarge
from asymreinforce.grading.math.notation import CLOSE, LONGEST, OPEN, canonical, without_spaces
from asymreinforce.grading.math.numerals import THOUSANDS, equal_values, read_number
from asymreinforce.grading.math.ranges import same_set
from asymreinforce.grading.math.structure import (
    Same,
    base_name,
    compare_collections,
    compare_matrices,
    peel_brackets,
    read_assignment,
)

MOST_DEPTH = 6
LONGEST_PARTED = 2_000
"""Characters of the longest answer that is compared as more than a text or a number."""
BASED = re.compile(
    rf"(?P<opening>\()?{OPEN}?([0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?){CLOSE}?(?(opening)\))"
    rf"\s*_\s*\{{?\s*{OPEN}?\s*(\d+|[a-z]+)\s*{CLOSE}?\s*\}}?"
)
BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8"}
BASES |= {"nine": "9", "ten": "10"}
# If one answer is a decimal with a point, the comma of `2,5` in the other is a decimal comma.
POINTED = re.compile(r"[-+]?\d*\.\d+%?")
DIGITS = re.compile(r"[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?")
PARAMETER = re.compile(
    rf"[,;]?\s*\(?(?:{OPEN}[^{CLOSE}]*{CLOSE})?\s*([a-z])\s*\\in\s*\\mathbb\s*\{{?[ZN]\}}?\)?$"
)
"""A remark at the end that a letter is any integer, which most answers leave out."""
# math-verify compares these alone: of other texts it may read a part and drop the rest.
ALGEBRA = re.compile(r"\\(?:sum|prod|int|lim|begin|max|min|gcd|lcm|det|[bp]?mod)(?![a-z])")
ARITHMETIC = re.compile(r"(?:[\d\s.+\-*/^!(){}]|\\(?:sqrt|cdot|times|pi)(?![A-Za-z]))+")
WELL_FORMED = re.compile(
    r"(?![.!,/^_=*&)\]>])(?:\\begin\{[a-zA-Z]+\*?\}|\\end\{[a-zA-Z]+\*?\}|\\[A-Za-z]+|\\[\\{}]"
    r"|(?<![A-Za-z])[A-Za-z]{1,3}(?![A-Za-z])|[\d\s{}()\[\]<>|+\-*/^_=!.,&])+(?<![-.,/^_=+*&(\[<])"
)


def equivalent(gold: str, answer: str) -> bool:
    """Tell whether a bare answer says the same as the gold answer; any text is allowed."""
    if gold == answer:
        return bool(gold.strip())
    gold, answer = canonical(gold), canonical(answer)
    if max(len(gold), len(answer)) > LONGEST:
        return gold == answer
    return bool(gold and answer) and _same_canonical(gold, answer, depth=0)


def _same_canonical(gold: str, answer: str, *, depth: int) -> bool:
    gold, answer = (_without_additions(text) for text in (gold, answer))
    if without_spaces(gold) == without_spaces(answer):
        return bool(gold)
    if depth > MOST_DEPTH:
        return False
    same = functools.partial(_same_canonical, depth=depth + 1)
    rules = RULES if max(len(gold), len(answer)) <= LONGEST_PARTED else (compare_numbers,)
    try:
        verdicts = (rule(gold, answer, same) for rule in rules)
        return next((verdict for verdict in verdicts if verdict is not None), False)
    except TooLarge:
        return False  # no value to compare, and the texts were compared before


def _without_additions(text: str) -> str:
    text = peel_brackets(wording.plain_meaning(text))
    parameter = PARAMETER.search(text)
    if parameter and re.search(
        rf"(?<![A-Za-z]){parameter[1]}(?![A-Za-z])", text[: parameter.start()]
    ):
        text = text[: parameter.start()]
    return text


def compare_numbers(gold: str, answer: str, same: Same) -> bool | None:
    """Compare values; None unless both are numbers. A unit may be left out but not exchanged."""
    one, _ = wording.without_unit(gold)
    other, other_unit = wording.without_unit(answer, bare_letters=not re.search("[A-Za-z]", one))
    one, unit = wording.without_unit(gold, bare_letters=other_unit is not None)
    commas = [text for text in (one, other) if "," in text]
    has_comma = POINTED.fullmatch(one) or POINTED.fullmatch(other)
    value, other_value = (read_number(text, decimal_comma=bool(has_comma)) for text in (one, other))
    agree = unit is None or other_unit is None or unit == other_unit or "unit" in (unit, other_unit)
    if value is not None and other_value is not None:
        return agree and equal_values(value, other_value)
    if (one, other) != (gold, answer):
        return agree and same(one, other)
    if len(commas) == 2 and any(THOUSANDS.fullmatch(text) for text in commas):
        members = [
            sorted(map(without_spaces, structure.split_outside(text, structure.COMMA)))
            for text in commas
        ]
        return None if members[0] == members[1] or structure.outer_bracket(commas[1]) else False
    return None


def compare_based(gold: str, answer: str, same: Same) -> bool | None:
    """Compare numerals with bases; the answer's defaults to the gold's, the gold's to 10."""
    one, other = BASED.fullmatch(gold), BASED.fullmatch(answer)
    bases = [BASES.get(each[3], each[3]) if each else None for each in (one, other)]
    if one and (other or DIGITS.fullmatch(answer)):
        digits = (other[2] if other else answer).upper()
        return one[2].upper() == digits and (bases[0] == bases[1] or not other)
    if other and DIGITS.fullmatch(gold):
        return bases[1] == "10" and other[2] == gold
    return None


def compare_words(gold: str, answer: str, same: Same) -> bool | None:
    """Compare choices by their letters, and words if both sides have only letters."""
    chosen = wording.same_choice(gold, answer)
    if chosen is not None:
        return chosen
    for text, other in ((gold, answer), (answer, gold)):
        if (behind := wording.without_letter(text)) is not None:
            return same(behind, other)
    said = [wording.as_words(text) for text in (gold, answer)]
    if None not in said or r"\emptyset" in (gold, answer):
        return said[0] == said[1] and None not in said
    return None


def compare_sets_of_reals(gold: str, answer: str, same: Same) -> bool | None:
    """Compare intervals, inequalities and unions if at least one side cannot be a point."""
    return same_set(gold, answer)


def compare_relations(gold: str, answer: str, same: Same) -> bool | None:
    """Compare `x = 5` with 5, and equations or inequalities with each other at points."""
    one, other = structure.read_chain(gold), structure.read_chain(answer)
    if other and _is_contradictory(other):
        return False
    gold_pair, answer_pair = read_assignment(gold), read_assignment(answer)
    if gold_pair and answer_pair:
        if base_name(gold_pair[0]) == base_name(answer_pair[0]):
            return same(gold_pair[1], answer_pair[1])
    elif gold_pair and other is None:
        return same(gold_pair[1], answer)
    if one is None:
        return any(same(gold, value) for value in _stated_values(answer)) if other else None
    if other is None:
        return False
    if len(one.terms) == len(other.terms) > 2:
        one, other = structure.rising_chain(one), structure.rising_chain(other)
        return one.relations == other.relations and all(map(same, one.terms, other.terms))
    return _same_relation(one, other)


def _same_relation(gold: structure.RelationChain, answer: structure.RelationChain) -> bool:
    gold, answer = structure.rising_chain(gold), structure.rising_chain(answer)
    if len(gold.terms) != 2 or len(answer.terms) != 2 or gold.relations != answer.relations:
        return False
    sign = points.ratio_sign(gold.terms, answer.terms)
    # A negative factor turns an inequality around and leaves an equation as it is.
    return sign > 0 or (sign < 0 and gold.relations[0] in ("=", r"\ne"))


def _is_contradictory(chain: structure.RelationChain) -> bool:
    """Tell whether an equality of numbers is false: `41=42`."""
    # Behind a name the last term counts, as in other projects' test cases: `x = 5+5+1 = 7 = 11`.
    if set(chain.relations) != {"="} or structure.is_name(chain.terms[0]):
        return False
    numerals = [term for term in chain.terms if ARITHMETIC.fullmatch(term)]
    values = [value for value in map(points.constant_value, numerals) if value is not None]
    is_equal = points.is_near if any("." in term for term in numerals) else points.values_agree
    return not all(is_equal(values[0], value) for value in values[1:])


def _stated_values(answer: str) -> tuple[str, ...]:
    r"""Return the value that an equality states: `x=5`, `\sqrt{16}=4`, `a+b=5`, not `x-3=0`.

    `\sqrt{2} \approx 1.414` states both values if they differ by less than a hundredth.
    """
    relation, pair = structure.read_chain(answer), read_assignment(answer)
    if relation is None or not set(relation.relations) <= {"=", r"\approx", r"\in", r"\equiv"}:
        return ()
    value = pair[1] if pair else structure.stated_value(relation)
    first = relation.terms[0]
    if value.strip() == "0" and structure.has_variable(first) and not structure.is_name(first):
        return ()
    ends = (value, relation.terms[-1])
    if relation.relations[-1] == r"\approx" and points.is_near(*map(points.constant_value, ends)):
        return ends
    return (value,)


def compare_expressions(gold: str, answer: str, same: Same) -> bool | None:
    """Compare expressions at points, else by math-verify if they are algebra without words."""
    gold, answer = (re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text) for text in (gold, answer))
    verdict = points.same_at_points(gold, answer)
    is_algebra = ALGEBRA.search(gold) or ALGEBRA.search(answer)
    if verdict is not None or not is_algebra or not all(map(WELL_FORMED.fullmatch, (gold, answer))):
        return verdict
    return points.equal_by_math_verify(*(t.replace("°", r"^{\circ}") for t in (gold, answer)))


RULES = (
    compare_numbers,
    compare_based,
    compare_words,
    compare_matrices,
    compare_sets_of_reals,
    compare_collections,
    compare_relations,
    compare_expressions,
)
