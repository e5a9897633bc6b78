"""Collections of answers: tuples and matrices in order, sets and lists in any.

Functions here return None if the two texts are no collections, or may still be equal; `same`
compares two members.
"""

from collections.abc import Callable
from itertools import chain

from asymreinforce.grading.math import structure
from asymreinforce.grading.math.notation import squeezed
from asymreinforce.grading.math.structure import assignment, bracketed, elements, split

Same = Callable[[str, str], bool]
MOST_COMPARED = 24
"""Members of a list that may be compared with each other by more than their text."""


def matrices(gold: str, answer: str, same: Same) -> bool | None:
    """Compare entry by entry; a column is the same as a tuple."""
    one, other = structure.matrix(gold), structure.matrix(answer)
    if one is None and other is None:
        return None
    if one is None or other is None:
        rows, text = one or other or [], answer if one else gold
        tuple_ = bracketed(text)
        if tuple_ is None or tuple_.opening != "(" or any(len(row) > 1 for row in rows):
            return None if r"\begin" in text or structure.chain(text) else False
        return all_same([row[0] for row in rows], split(tuple_.inner, structure.COMMA), same)
    if [len(row) for row in one] != [len(row) for row in other]:
        return False
    return all_same([*chain(*one)], [*chain(*other)], same)


def collections(gold: str, answer: str, same: Same) -> bool | None:
    """Compare tuples in order, sets and lists in any, and a set of one with its member."""
    one, other = _opened(gold), _opened(answer)
    if one is None and other is None:
        return None
    if one is None or other is None:
        kind, members = one or other or ("", [])
        if kind == "set" and len(members) == 1:
            return same(members[0] if one else gold, answer if one else members[0])
        pair = assignment(answer if one else gold)
        if pair is None:  # `1/2 or 0.5` is one value
            single = answer if one else gold
            return kind == "list" and all(same(single, member) for member in members)
        return same(gold, pair[1]) if one else same(pair[1], answer)
    (kind, mine), (other_kind, yours) = one, other
    in_order = kind[0] in "([" or other_kind[0] in "(["
    may_differ = not in_order or "list" in (kind, other_kind)
    if len(mine) != len(yours) or not (kind == other_kind or may_differ):
        return False
    if all(any(map(structure.chain, side)) for side in (mine, yours)):
        return _any_order(mine, yours, same)
    # `x=1, x=2` are values of one name; those of `x=1, y=2` stand in order, which `1, 2` says too.
    names = [{pair[0] for pair in map(assignment, side) if pair} for side in (mine, yours)]
    in_order = (in_order and len(names[0] | names[1]) != 1) or len(names[0]) > 1
    return (all_same if in_order else _any_order)(_values(mine), _values(yours), same)


def _opened(text: str) -> tuple[str, list[str]] | None:
    r"""Return the kind of a collection (`()`, `[]`, `set`, `list`) and its members."""
    members = elements(text)
    if len(members) > 1:
        return "list", members
    outer = bracketed(text)
    if outer is None:
        return None
    if outer.opening in (r"\{", "{"):
        return ("set" if outer.opening == r"\{" else "list"), elements(outer.inner)
    members = split(outer.inner, structure.COMMA)
    return (outer.opening + outer.closing, members) if len(members) > 1 else None


def base(name: str) -> str:
    """Return a name without the argument of a function and braces: `W` for `W(n)`."""
    name = name[:-3] if name[1:2] == "(" and name[3:] == ")" and name[2].islower() else name
    return name.replace("{", "").replace("}", "")


def _values(members: list[str]) -> list[str]:
    return [pair[1] if (pair := assignment(member)) else member for member in members]


def all_same(mine: list[str], yours: list[str], same: Same) -> bool:
    """Compare members in order."""
    return len(mine) == len(yours) and all(map(same, mine, yours))


def _any_order(mine: list[str], yours: list[str], same: Same) -> bool:
    """Match members in any order: equal texts first, the others each against each."""
    others, rest = [*yours], []
    for member in mine:
        text = squeezed(member)
        equal = next((other for other in others if squeezed(other) == text), None)
        if equal is None:
            rest.append(member)
        else:
            others.remove(equal)
    if len(rest) > MOST_COMPARED:
        return False
    for member in rest:
        match = next((other for other in others if same(member, other)), None)
        if match is None:
            return False
        others.remove(match)
    return True
