r"""Sets of real numbers: intervals, inequalities, unions, and the reals without some points.

    same_set(r"x \geq 2", r"[2,\infty)") is True        same_set("(1,2)", "(1,3)") is None: points?

A set is what tells of a number if it belongs to it, and the numbers where that may change. So two
sets are compared at those numbers, and once between each two of them.
"""

import itertools
import re
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

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
INFINITE = {r"\infty": float("inf"), r"+\infty": float("inf"), r"-\infty": float("-inf")}
Place = Fraction | float


class RealSet(NamedTuple):
    """Which numbers belong to a set, where that changes, and the letter that stands for them."""

    holds: Callable[[Place], bool]
    ends: frozenset[Place]
    name: str = ""


def same_set(gold: str, answer: str) -> bool | None:
    """Compare sets of real numbers; None if one is none, or both may be points: `(1,2)`."""
    one, other = real_set(gold), real_set(answer)
    if one is None or other is None or not (_is_range(gold) or _is_range(answer)):
        return None
    if one.name and other.name and one.name != other.name:
        return None
    return all(
        one.holds(place) == other.holds(place) for place in _places_to_test(one.ends | other.ends)
    )


def real_set(text: str) -> RealSet | None:
    """Read a set of real numbers whose ends are numbers; raises `TooLarge`."""
    member = MEMBER.match(text)
    name, text = (member[1].strip(), text[member.end() :]) if member else ("", text)
    whole, *removed = split_outside(text, WITHOUT)
    if removed:
        return _combine_sets([real_set(whole), *map(_set_of_points, removed)], _first_only)
    pieces = split_outside(text, OR)
    if len(pieces) > 1:
        return _combine_sets([real_set(piece) or _set_of_points(piece) for piece in pieces], any)
    outer = outer_bracket(text)
    if outer is None and len(pieces := split_outside(text, COMMA)) > 1:
        common = _combine_sets([real_set(piece) for piece in pieces], all)
        # `x<1, x>3` has nothing in common: either is meant.
        is_empty = common is not None and not any(map(common.holds, _places_to_test(common.ends)))
        return _combine_sets([real_set(piece) for piece in pieces], any) if is_empty else common
    if outer and outer.opening == r"\{":
        built = BUILDER.fullmatch(outer.inner)
        return real_set(built[1].strip()) if built else None
    if REALS.fullmatch(text):
        return RealSet(lambda place: True, frozenset(), name)
    if outer:
        ends = split_outside(outer.inner, COMMA)
        if len(ends) != 2 or outer.opening not in "([":
            return None
        brackets = (outer.opening, outer.closing)
        signs = tuple("<" if bracket in "()" else r"\leq" for bracket in brackets)
        return _set_between(ends[0], name, ends[1], signs)
    return _read_inequality(text)


def _is_range(text: str) -> bool:
    """Tell whether a text can be nothing but a set of numbers."""
    pieces = split_outside(text, COMMA)
    if len(pieces) > 1:
        return any(map(_is_range, pieces))
    outer = outer_bracket(text)
    return outer is None or outer.opening + outer.closing not in ("()", "[]") or "infty" in text


def _read_inequality(text: str) -> RealSet | None:
    relation = read_chain(text)
    if relation is None:
        return None
    terms, relations = rising_chain(relation)
    if relations == (r"\ne",) and is_name(terms[0]):
        points = _set_of_points(rf"\{{{terms[1]}\}}")
        reals = RealSet(lambda place: True, frozenset(), terms[0])
        return points and _combine_sets([reals, points], _first_only)
    if not set(relations) <= {"<", r"\leq"} or len(terms) > 3:
        return None
    if len(terms) == 3:
        return _set_between(*terms, relations)
    if is_name(terms[0]):
        return _set_between(r"-\infty", terms[0], terms[1], ("<", *relations))
    return _set_between(terms[0], terms[1], r"\infty", (*relations, "<"))


def _set_between(low: str, name: str, high: str, relations: tuple[str, ...]) -> RealSet | None:
    """Return the numbers, or those whose size is, between two ends."""
    least, most = _end_value(low), _end_value(high)
    if least is None or most is None or (name and not is_name(name)):
        return None
    if least > most or (least == most and "<" in relations):
        return None
    is_size = name[:1] == "|" == name[-1:]

    def holds(place: Place) -> bool:
        size = max(place, -place) if is_size else place
        above = size > least or (size == least and relations[0] != "<")
        return above and (size < most or (size == most and relations[1] != "<"))

    ends = {least, most, *((-least, -most) if is_size else ())}
    return RealSet(holds, frozenset(ends), name.strip("|"))


def _set_of_points(text: str) -> RealSet | None:
    outer = outer_bracket(text)
    if outer is None or outer.opening != r"\{":
        return None
    members = list_members(outer.inner)
    places = frozenset(place for each in members if (place := _end_value(each)) is not None)
    return RealSet(places.__contains__, places) if len(places) == len(members) else None


def _end_value(end: str) -> Place | None:
    if end.replace(" ", "") in INFINITE:
        return INFINITE[end.replace(" ", "")]
    value = constant_value(end)
    return None if value is None else as_fraction(value)


def _combine_sets(sets: list[RealSet | None], how: Callable[[list[bool]], bool]) -> RealSet | None:
    known = [each for each in sets if each is not None]
    if len(known) < len(sets):
        return None
    ends = frozenset(end for each in known for end in each.ends)
    name = next((each.name for each in known if each.name), "")
    return RealSet(lambda place: how([each.holds(place) for each in known]), ends, name)


def _first_only(belongs: list[bool]) -> bool:
    return belongs[0] and not any(belongs[1:])


def _places_to_test(ends: frozenset[Place]) -> list[Place]:
    """Return the finite ends, a number between each two of them, and one beyond on either side."""
    finite = sorted(end for end in ends if isinstance(end, Fraction)) or [Fraction(0)]
    between = [(one + other) / 2 for one, other in itertools.pairwise(finite)]
    return [finite[0] - 1, *finite, *between, finite[-1] + 1]
