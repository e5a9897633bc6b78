r"""Compare sets of real numbers: intervals, inequalities, unions, the reals without some points.

    same_set(r"x \geq 2", r"[2,\infty)") is True        same_set("(1,2)", "(1,3)") is None: points?

The texts are read into sets of sympy, which writes a union of intervals and points in one way only.
"""

import re
from typing import Any, NamedTuple

from asymreinforce.grading.math.points import as_fraction, constant_value
from asymreinforce.grading.math.structure import (
    COMMA,
    is_name,
    list_members,
    outer_bracket,
    read_chain,
    rising_chain,
    split_outside,
)

REALS = re.compile(r"\\mathbb\s*\{?\s*R\s*\}?")
MEMBER = re.compile(r"([^\\<>=,]{1,12})\\in(?![A-Za-z])\s*")
WITHOUT = re.compile(r"\\setminus(?![A-Za-z])|(?<=[\])}R\1\2])\s*-(?=\s*[\1\\])")
BUILDER = re.compile(r"[^|:]{1,20}[|:](.*)", re.DOTALL)
OR = re.compile(r"\\(?:cup|lor)(?![A-Za-z])|(?<![A-Za-z\\])or(?![a-z])")
INFINITE = re.compile(r"\s*([-+]?)\s*\\infty\s*")


class RealSet(NamedTuple):
    """A set of sympy, and the variable of the inequality that describes the set."""

    numbers: Any
    name: str = ""


def same_set(gold: str, answer: str) -> bool | None:
    """Compare sets of real numbers; None if one is no set, or both may be points, as `(1,2)` is."""
    one, other = real_set(gold), real_set(answer)
    if one is None or other is None or not (_is_range(gold) or _is_range(answer)):
        return None
    if one.name and other.name and one.name != other.name:
        return None
    return bool(one.numbers == other.numbers)


def real_set(text: str) -> RealSet | None:
    """Read a set of real numbers whose ends are numbers; raises `TooLarge`."""
    from sympy import Complement, Intersection, Union

    member = MEMBER.match(text)
    name, text = (member[1].strip(), text[member.end() :]) if member else ("", text)
    whole, *removed = split_outside(text, WITHOUT)
    if removed:
        points = _combine_sets(Union, [_set_of_points(each) for each in removed])
        return _combine_sets(Complement, [real_set(whole), points])
    pieces = split_outside(text, OR)
    if len(pieces) > 1:
        return _combine_sets(Union, [real_set(piece) or _set_of_points(piece) for piece in pieces])
    outer = outer_bracket(text)
    if outer is None and len(pieces := split_outside(text, COMMA)) > 1:
        sets = [real_set(piece) for piece in pieces]
        common = _combine_sets(Intersection, sets)  # a comma mostly means "and": `x>1, x<3`
        # `x<1, x>3` have nothing in common, so the comma must mean "or".
        return _combine_sets(Union, sets) if common and common.numbers.is_empty else common
    if outer and outer.opening == r"\{":
        built = BUILDER.fullmatch(outer.inner)
        return real_set(built[1].strip()) if built else None
    if REALS.fullmatch(text):
        return _set_between(r"-\infty", name, r"\infty", ("<", "<"))
    if outer:
        ends = split_outside(outer.inner, COMMA)
        if len(ends) != 2 or outer.opening not in "([":
            return None
        brackets = (outer.opening, outer.closing)
        signs = tuple("<" if bracket in "()" else r"\leq" for bracket in brackets)
        return _set_between(ends[0], name, ends[1], signs)
    return _read_inequality(text)


def _is_range(text: str) -> bool:
    """Tell whether a text can only mean a set of numbers, and not a point."""
    pieces = split_outside(text, COMMA)
    if len(pieces) > 1:
        return any(map(_is_range, pieces))
    outer = outer_bracket(text)
    return outer is None or outer.opening + outer.closing not in ("()", "[]") or "infty" in text


def _read_inequality(text: str) -> RealSet | None:
    from sympy import Complement, S

    relation = read_chain(text)
    if relation is None:
        return None
    terms, relations = rising_chain(relation)
    if relations == (r"\ne",) and is_name(terms[0]):
        return _combine_sets(
            Complement, [RealSet(S.Reals, terms[0]), _set_of_points(rf"\{{{terms[1]}\}}")]
        )
    if not set(relations) <= {"<", r"\leq"} or len(terms) > 3:
        return None
    if len(terms) == 3:
        return _set_between(*terms, relations)
    if is_name(terms[0]):
        return _set_between(r"-\infty", terms[0], terms[1], ("<", *relations))
    return _set_between(terms[0], terms[1], r"\infty", (*relations, "<"))


def _set_between(low: str, name: str, high: str, relations: tuple[str, ...]) -> RealSet | None:
    """Return the numbers between two ends; for a name `|x|`, the numbers whose size is."""
    from sympy import Dummy, Interval, S, imageset

    least, most = _end_value(low), _end_value(high)
    if least is None or most is None or (name and not is_name(name)):
        return None
    if least > most or (least == most and "<" in relations):
        return None
    numbers = Interval(least, most, relations[0] == "<", relations[1] == "<")
    if name[:1] == "|" == name[-1:]:  # the size of x is that of -x
        numbers, sign = numbers & Interval(0, S.Infinity), Dummy()
        numbers |= imageset(sign, -sign, numbers)
    return RealSet(numbers, name.strip("|"))


def _set_of_points(text: str) -> RealSet | None:
    from sympy import FiniteSet

    outer = outer_bracket(text)
    if outer is None or outer.opening != r"\{":
        return None
    places = [_end_value(member) for member in list_members(outer.inner)]
    return None if None in places else RealSet(FiniteSet(*places))


def _end_value(end: str) -> Any:
    from sympy import Rational, S

    if infinite := INFINITE.fullmatch(end):
        return S.NegativeInfinity if infinite[1] == "-" else S.Infinity
    value = constant_value(end)
    fraction = None if value is None else as_fraction(value)
    return None if fraction is None else Rational(fraction.numerator, fraction.denominator)


def _combine_sets(how: Any, sets: list[RealSet | None]) -> RealSet | None:
    known = [each for each in sets if each is not None]
    if len(known) < len(sets):
        return None
    name = next((each.name for each in known if each.name), "")
    return RealSet(how(*(each.numbers for each in known)), name)
