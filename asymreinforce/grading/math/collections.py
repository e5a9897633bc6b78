"""Collections of answers: tuples and intervals in order, sets, lists and unions in any.

Functions here return None where the two texts are no collections, or may still be equal; `same`
compares two members.
"""

import re
from collections import Counter
from collections.abc import Callable
from itertools import chain

from asymreinforce.grading.math import numeric, structure
from asymreinforce.grading.math.notation import squeezed
from asymreinforce.grading.math.structure import Bracketed, assignment, bracketed, elements, split

Same = Callable[[str, str], bool]
MOST_MEMBERS = 4_000
MOST_COMPARED = 40
"""Members of a list that may be compared with each other by more than their text."""


def matrices(gold: str, answer: str, same: Same) -> bool | None:
    """Compare entry by entry; a column is the same as a tuple."""
    here, there = structure.matrix(gold), structure.matrix(answer)
    if here is None and there is None:
        return None
    if here is None or there is None:
        rows, tuple_ = here or there, bracketed(answer if here else gold)
        other = answer if here else gold
        if rows is None or tuple_ is None or tuple_.opening != "(":
            return None if r"\begin" in other or structure.chain(other) else False
        members = split(tuple_.inner, structure.COMMA)
        column = [row[0] for row in rows if len(row) == 1]
        return len(column) == len(rows) and all_same(column, members, same)
    if [len(row) for row in here] != [len(row) for row in there]:
        return False
    return all_same([*chain(*here)], [*chain(*there)], same) or None


def collections(gold: str, answer: str, same: Same) -> bool | None:
    """Compare tuples and intervals in order, sets, lists and unions in any."""
    chains = structure.chain(gold), structure.chain(answer)
    if all(found and structure.rising(found) for found in chains):
        return None  # two inequalities, whose middle terms count
    here, there = _opened(gold), _opened(answer)
    if here is None and there is None:
        return None
    if here is None or there is None:
        return None if any(chains) else _one_member(here, there, gold, answer, same)
    (kind, mine), (other_kind, yours) = here, there
    if max(len(mine), len(yours)) > MOST_MEMBERS or len(mine) != len(yours):
        return None if _are_ranges(kind, other_kind) else False
    named = _by_name(mine, yours, same, ordered="()" in (kind, other_kind))
    if named is not None:
        return named
    if kind == other_kind and kind[:1] in "([":
        return all_same(mine, yours, same)
    if kind in ("list", "set", "union") and other_kind in ("list", "set", "union"):
        return _any_order(mine, yours, same) or (None if kind == "union" else False)
    if {kind, other_kind} == {"list", "()"}:
        return all_same(_values(mine), _values(yours), same)
    return None if _are_ranges(kind, other_kind) else False


def _are_ranges(*kinds: str) -> bool:
    """Tell whether one is a union and the other may be the same range written otherwise."""
    return "union" in kinds and all(kind == "union" or kind[:1] in "([" for kind in kinds)


def _one_member(
    here: tuple[str, list[str]] | None,
    there: tuple[str, list[str]] | None,
    gold: str,
    answer: str,
    same: Same,
) -> bool | None:
    """Compare a set of one with its member; a list or tuple of more is no single value."""
    kind, members = here or there or ("", [])
    if kind == "set" and len(members) == 1:
        return same(members[0] if here else gold, answer if here else members[0])
    if kind in ("list", "set", "()") and len(members) > 1:
        return False
    is_value = numeric.at(answer if here else gold, numeric.POINTS[0]) is not None
    return False if is_value else None  # an interval or a union is no value


def _opened(text: str) -> tuple[str, list[str]] | None:
    r"""Return the kind of a collection (`()`, `[)`, `set`, `list`, `union`) and its members."""
    pieces = split(text, structure.UNION)
    if len(pieces) > 1:
        return "union", pieces
    if left_out := structure.exception(text):
        return "union", [rf"(-\infty,{left_out})", rf"({left_out},\infty)"]
    members = elements(text)
    if len(members) > 1:
        ranges = [structure.interval(member) for member in members]
        if all(ranges):
            return "union", [f"{r.opening}{r.inner}{r.closing}" for r in ranges if r]
        return "list", members
    if pair := assignment(text):
        is_enclosed = bracketed(pair[1]) and ("(" in pair[0] or r"\in" in text)
        is_collection = is_enclosed or r"\cup" in pair[1] or len(elements(pair[1])) > 1
        return _opened(pair[1]) if is_collection else None
    outer = bracketed(text) or structure.interval(text)
    return _kind(outer) if outer else None


def _kind(outer: Bracketed) -> tuple[str, list[str]] | None:
    if outer.opening == r"\{":
        built = re.match(r"[^|:]{1,20}(?:[|:]|\\mid)(.*)", outer.inner, re.DOTALL)
        if built and (range_ := structure.interval(built[1].strip())):
            return _kind(range_)
        return "set", elements(outer.inner)
    if outer.opening == "{":
        return "list", elements(outer.inner)
    members = split(outer.inner, structure.COMMA)
    return (outer.opening + outer.closing, members) if len(members) > 1 else None


def _by_name(mine: list[str], yours: list[str], same: Same, *, ordered: bool) -> bool | None:
    """Match `x=3, y=4` by names where both sides have them, in order where one side has."""
    here, there = [assignment(m) for m in mine], [assignment(y) for y in yours]
    named, other_named = all(here), all(there)
    if not named and not other_named:
        return None
    names = [base(pair[0]) for pair in here if pair]
    other_names = [base(pair[0]) for pair in there if pair]
    if named and other_named:
        if Counter(names) != Counter(other_names):
            return False
        return all(
            _any_order(
                [pair[1] for pair in here if pair and base(pair[0]) == name],
                [pair[1] for pair in there if pair and base(pair[0]) == name],
                same,
            )
            for name in set(names)
        )
    if len(set(names if named else other_names)) == 1 or (other_named and not ordered):
        return _any_order(_values(mine), _values(yours), same)
    return all_same(_values(mine), _values(yours), same)


def base(name: str) -> str:
    """Return a name without its argument and braces: `W` for `W(n)`."""
    return re.sub(r"(?<=[A-Za-z])\([a-z]\)$", "", name).replace("{", "").replace("}", "")


def _values(members: list[str]) -> list[str]:
    return [pair[1] if (pair := assignment(member)) else member for member in members]


def all_same(mine: list[str], yours: list[str], same: Same) -> bool:
    """Compare members in order."""
    return len(mine) == len(yours) and all(map(same, mine, yours))


def _any_order(mine: list[str], yours: list[str], same: Same) -> bool:
    """Match members in any order: equal texts first, the others each against each."""
    if len(mine) != len(yours):
        return False
    mine, yours = _values(mine), _values(yours)
    left = Counter(map(squeezed, yours))
    rest = []
    for member in mine:
        text = squeezed(member)
        if left[text]:
            left[text] -= 1
        else:
            rest.append(member)
    others = list(left.elements())
    if len(rest) > MOST_COMPARED:
        return False
    for member in rest:
        match = next((o for o in others if same(member, o)), None)
        if match is None:
            return False
        others.remove(match)
    return True
