"""Collections of answers: tuples and matrices in order, sets and lists in any.

Functions here return None if the two texts are no collections, or may still be equal; `same`
compares two members.
"""

from collections.abc import Callable
from itertools import chain

from asymreinforce.grading.math import structure
from asymreinforce.grading.math.notation import without_spaces
from asymreinforce.grading.math.structure import (
    list_members,
    outer_bracket,
    read_assignment,
    split_outside,
)

Same = Callable[[str, str], bool]
MOST_COMPARED = 24
"""Members of a list that may be compared with each other by more than their text."""


def compare_matrices(gold: str, answer: str, same: Same) -> bool | None:
    """Compare entry by entry; a column is the same as a tuple."""
    one, other = structure.matrix_rows(gold), structure.matrix_rows(answer)
    if one is None and other is None:
        return None
    if one is None or other is None:
        rows, text = one or other or [], answer if one else gold
        tuple_ = outer_bracket(text)
        if tuple_ is None or tuple_.opening != "(" or any(len(row) > 1 for row in rows):
            return None if r"\begin" in text or structure.read_chain(text) else False
        return all_same(
            [row[0] for row in rows], split_outside(tuple_.inner, structure.COMMA), same
        )
    if [len(row) for row in one] != [len(row) for row in other]:
        return False
    return all_same([*chain(*one)], [*chain(*other)], same)


def compare_collections(gold: str, answer: str, same: Same) -> bool | None:
    """Compare tuples in order, sets and lists in any, and a set of one with its member."""
    one, other = _kind_and_members(gold), _kind_and_members(answer)
    if one is None and other is None:
        return None
    if one is None or other is None:
        kind, members = one or other or ("", [])
        if kind == "set" and len(members) == 1:
            return same(members[0] if one else gold, answer if one else members[0])
        pair = read_assignment(answer if one else gold)
        if pair is None:  # `1/2 or 0.5` is one value
            single = answer if one else gold
            return kind == "list" and all(same(single, member) for member in members)
        return same(gold, pair[1]) if one else same(pair[1], answer)
    (kind, golds), (other_kind, answers) = one, other
    in_order = kind[0] in "([" or other_kind[0] in "(["
    may_differ = not in_order or "list" in (kind, other_kind)
    if len(golds) != len(answers) or not (kind == other_kind or may_differ):
        return False
    if all(any(map(structure.read_chain, side)) for side in (golds, answers)):
        return _any_order(golds, answers, same)
    # `x=1, x=2` are values of one name; those of `x=1, y=2` stand in order, which `1, 2` says too.
    names = [{pair[0] for pair in map(read_assignment, side) if pair} for side in (golds, answers)]
    in_order = (in_order and len(names[0] | names[1]) != 1) or len(names[0]) > 1
    return (all_same if in_order else _any_order)(
        _member_values(golds), _member_values(answers), same
    )


def _kind_and_members(text: str) -> tuple[str, list[str]] | None:
    r"""Return the kind of a collection (`()`, `[]`, `set`, `list`) and its members."""
    members = list_members(text)
    if len(members) > 1:
        return "list", members
    outer = outer_bracket(text)
    if outer is None:
        return None
    if outer.opening in (r"\{", "{"):
        return ("set" if outer.opening == r"\{" else "list"), list_members(outer.inner)
    members = split_outside(outer.inner, structure.COMMA)
    return (outer.opening + outer.closing, members) if len(members) > 1 else None


def base_name(name: str) -> str:
    """Return a name without the argument of a function and braces: `W` for `W(n)`."""
    name = name[:-3] if name[1:2] == "(" and name[3:] == ")" and name[2].islower() else name
    return name.replace("{", "").replace("}", "")


def _member_values(members: list[str]) -> list[str]:
    return [pair[1] if (pair := read_assignment(member)) else member for member in members]


def all_same(golds: list[str], answers: list[str], same: Same) -> bool:
    """Compare members in order."""
    return len(golds) == len(answers) and all(map(same, golds, answers))


def _any_order(golds: list[str], answers: list[str], same: Same) -> bool:
    """Match members in any order: equal texts first, the others each against each."""
    others, rest = [*answers], []
    for member in golds:
        text = without_spaces(member)
        equal = next((other for other in others if without_spaces(other) == text), None)
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
