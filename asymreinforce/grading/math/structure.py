r"""Take an answer apart: tuples and matrices in order, sets and lists in any order, relations.

Everything here cuts canonical text (`notation.py`) only outside brackets. A comparison calls `same`
on pairs of members, and returns None if there are no members or it cannot decide.
"""

import re
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

from asymreinforce.grading.math.notation import CLOSE, OPEN, without_spaces

BRACKET = re.compile(rf"\\\\|\\[{{}}]|\\[lr]angle(?![A-Za-z])|[{{}}()\[\]{OPEN}{CLOSE}]")
OPENING = {"{", "(", "[", r"\{", r"\langle", OPEN}
PAIRS = {("(", ")"), ("[", "]"), ("[", ")"), ("(", "]"), (r"\{", r"\}"), ("{", "}")}
ANGLES = (r"\langle", r"\rangle")
COMMA = re.compile(r"[,;]?\s*(?<![A-Za-z\\])(?:and|or)(?![a-z])|[,;]")
STRONG = re.compile(r";|(?<![A-Za-z\\])(?:and|or)(?![a-z])")
RELATION = re.compile(r"\\(?:approx|leq|geq|ne|in|equiv)(?![A-Za-z])|:?=|[<>]")
MATRIX = re.compile(
    r"\\begin\s*\{(?:[pbB]?|small)matrix\*?\}(.*)\\end\s*\{(?:[pbB]?|small)matrix\*?\}"
    r"|\\begin\s*\{array\}\s*(?:\{[^{}]*\})?(.*)\\end\s*\{array\}",
    re.DOTALL,
)
NAMED = re.compile(
    r"\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|psi|omega|rho|sigma|angle|triangle|overline"
    r"|vec|frac|mathbf|ell|Delta|mathbb)|[A-Za-z|:/{}\s'(),\\^*⟦⟧_]"
)
FUNCTION_COMMAND = re.compile(
    r"\\(?:sin|cos|tan|sec|csc|cot|log|ln|exp|lim|sum|prod|int|sqrt|binom)"
)
POINT = re.compile(r"[A-Z]'*\s*(?=\()")
MOST_PEELED = 9
INSIDE, BEGIN, END = "\0\1\2"
Same = Callable[[str, str], bool]
MOST_COMPARED = 24
"""Members of a list that are compared by more than their text: the pairs grow quadratically."""


class Bracketed(NamedTuple):
    """A text that one pair of brackets encloses."""

    opening: str
    inner: str
    closing: str


class RelationChain(NamedTuple):
    """Terms with the relations between them: `0 < x < 1` is (0, x, 1) and (<, <)."""

    terms: tuple[str, ...]
    relations: tuple[str, ...]


def blot_brackets(text: str) -> str:
    """Blot out the content of brackets, at the same length; all text if brackets do not match."""
    pieces, depth, position = [], 0, 0
    for bracket in BRACKET.finditer(text):
        between = text[position : bracket.start()]
        pieces.append(INSIDE * len(between) if depth else between)
        step = 0 if bracket[0] == r"\\" else 1 if bracket[0] in OPENING else -1
        depth, before = depth + step, depth
        if depth < 0:
            break
        mark = BEGIN if depth > before == 0 else END if before > depth == 0 else INSIDE
        pieces.append(mark * len(bracket[0]))
        position = bracket.end()
    return INSIDE * len(text) if depth else "".join(pieces) + text[position:]


def split_outside(text: str, at: re.Pattern[str]) -> list[str]:
    """Cut a text at each match of a pattern outside all brackets."""
    marks = list(at.finditer(blot_brackets(text)))
    starts = [0, *(mark.end() for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(text)]
    return [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def read_chain(text: str) -> RelationChain | None:
    """Cut a text at its relations; None if it has no relation."""
    relations = ["=" if sign == ":=" else sign for sign in RELATION.findall(blot_brackets(text))]
    terms = tuple(split_outside(text, RELATION))
    return RelationChain(terms, tuple(relations)) if relations else None


def rising_chain(chain: RelationChain) -> RelationChain:
    """Write inequalities with the least term first; leave other chains as they are."""
    turned = {">": "<", r"\geq": r"\leq"}
    if not set(chain.relations) <= set(turned):
        return chain
    return RelationChain(chain.terms[::-1], tuple(turned[sign] for sign in chain.relations[::-1]))


def outer_bracket(text: str) -> Bracketed | None:
    """Return the one pair of brackets that encloses a whole text; None if there is no such pair."""
    brackets = re.fullmatch(rf"({BEGIN}+){INSIDE}*({END}+)", blot_brackets(text))
    if brackets is None:
        return None
    opening, closing = text[: brackets.end(1)], text[brackets.start(2) :]
    inner = text[brackets.end(1) : brackets.start(2)].strip()
    if (opening, closing) == ANGLES:
        opening, closing = "(", ")"
    return Bracketed(opening, inner, closing) if (opening, closing) in PAIRS else None


def peel_brackets(text: str) -> str:
    """Drop braces and parentheses that enclose a whole text, unless they make a tuple."""
    for _ in range(MOST_PEELED):
        outer = outer_bracket(text)
        if outer is None or outer.opening + outer.closing not in ("{}", "()"):
            break
        if outer.opening == "(" and len(split_outside(outer.inner, COMMA)) > 1:
            break  # a tuple
        text = outer.inner
    return text


def list_members(text: str) -> list[str]:
    """Return the members of a list, each once; groups of members (`5,2; 7,2`) are tuples."""
    groups = [group.rstrip(" ,") for group in split_outside(text, STRONG)]
    if len(groups) > 1 and all(len(split_outside(group, COMMA)) > 1 for group in groups):
        return [f"({group})" for group in groups]
    members = {without_spaces(member): member for member in split_outside(text, COMMA)}
    return [signed for member in members.values() for signed in both_signs(member)]


def both_signs(text: str) -> list[str]:
    r"""Write `a \pm b` as `a+b` and `a-b`; `\mp` goes the other way."""
    if r"\pm" not in text and r"\mp" not in text:
        return [text]
    name, value = read_assignment(text) or ("", text)
    start = f"{name}=" if name else ""
    signs = (("+", "-"), ("-", "+"))
    return [start + value.replace(r"\pm", a).replace(r"\mp", b).strip() for a, b in signs]


def read_assignment(text: str) -> tuple[str, str] | None:
    r"""Return the name and the value of `x = 5`, `5 = x`, `f(x) = 5`, `x = 2+3 = 5`, `A(1,2)`."""
    relation = read_chain(text)
    if relation is None:
        point = POINT.match(text)
        is_point = point and (tuple_ := outer_bracket(text[point.end() :])) and "," in tuple_.inner
        return (point[0], text[point.end() :]) if point and is_point else None
    terms = relation.terms
    if not set(relation.relations) <= {"=", r"\approx", r"\in"} or not terms[0]:
        return None
    # `5 = x` means `x = 5`.
    if relation.relations == ("=",) and is_name(terms[1]) and not has_variable(terms[0]):
        terms = terms[::-1]
    # Of three terms or more the last is the result, whatever the first is.
    is_value = not has_variable(terms[0]) and not has_variable(terms[-1])
    if not (is_name(terms[0]) or relation.relations.count("=") > 1 or is_value):
        return None
    return re.sub(r"\s+", "", terms[0]), stated_value(relation._replace(terms=terms))


def stated_value(relation: RelationChain) -> str:
    """Return the result of a chain of equalities: its last term before an approximation."""
    if r"\approx" in relation.relations:
        first = relation.relations.index(r"\approx")
        if first > 0 or not is_name(relation.terms[0]):
            return relation.terms[first]
    return relation.terms[-1]


def has_variable(text: str) -> bool:
    """Tell whether a text has a letter with no letter beside it, as a variable has."""
    return re.search(r"(?<![\\A-Za-z])[a-zA-Z](?![a-zA-Z])", text) is not None


def is_name(text: str) -> bool:
    r"""Tell whether a text only names something: `x`, `f(2)`, `a_{37}`, `|AB|`, `V_1:V_2`."""
    bare = re.sub(r"_\s*(?:\{[^{}]*\}|\w)", "", text)
    bare = re.sub(r"(?<=[A-Za-z])'*\s*\([^()]*\)", "", bare)
    if FUNCTION_COMMAND.search(bare) or not re.search(r"[A-Za-z]", bare):
        return False
    return not NAMED.sub("", bare).strip() and "^" not in bare and "*" not in bare


def matrix_rows(text: str) -> list[list[str]] | None:
    """Return the rows of a matrix; None if the text is not one matrix."""
    while (outer := outer_bracket(text)) and outer.inner.startswith(r"\begin"):
        text = outer.inner
    begin_end = MATRIX.fullmatch(text)
    if begin_end is None:
        return None
    body = begin_end[1] if begin_end[1] is not None else begin_end[2]
    rows = [row.strip() for row in re.split(r"\\\\(?:\s*\[[^\]]*\])?", body)]
    if r"\begin" in body:
        return None
    return [[cell.strip() for cell in row.split("&")] for row in rows if row]


def compare_matrices(gold: str, answer: str, same: Same) -> bool | None:
    """Compare matrices entry by entry; a column equals a tuple."""
    one, other = matrix_rows(gold), matrix_rows(answer)
    if one is not None and other is not None:
        in_shape = [len(row) for row in one] == [len(row) for row in other]
        return in_shape and all_same([*chain(*one)], [*chain(*other)], same)
    rows, text = (one, answer) if one is not None else (other, gold)
    if rows is None:
        return None
    tuple_ = outer_bracket(text)
    if tuple_ is None or tuple_.opening != "(" or any(len(row) > 1 for row in rows):
        return None if r"\begin" in text or read_chain(text) else False
    return all_same([*chain(*rows)], split_outside(tuple_.inner, COMMA), same)


def compare_collections(gold: str, answer: str, same: Same) -> bool | None:
    """Compare tuples in order, sets and lists in any order, and a set of one with its member."""
    one, other = _kind_and_members(gold), _kind_and_members(answer)
    if one is None and other is None:
        return None
    if one is None or other is None:
        (kind, members), single = (one, answer) if one else (other or ("", []), gold)
        if len(members) == 1:
            return same(single, members[0])
        pair = read_assignment(single)
        if pair is None:  # `1/2 or 0.5` is one value
            return kind == "list" and all(same(single, member) for member in members)
        return same(gold, pair[1]) if one else same(pair[1], answer)
    (kind, golds), (other_kind, answers) = one, other
    in_order = kind[0] in "([" or other_kind[0] in "(["
    if len(golds) != len(answers) or (kind != other_kind and "list" not in (kind, other_kind)):
        return False
    if all(any(map(read_chain, side)) for side in (golds, answers)):
        return _any_order(golds, answers, same)
    # `x=1, x=2` gives two values of one name in any order; `x=1, y=2` is in order, as `1, 2` is.
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
    members = split_outside(outer.inner, COMMA)
    return (outer.opening + outer.closing, members) if len(members) > 1 else None


def base_name(name: str) -> str:
    """Return a name without braces and without the argument of a function: `W` for `W(n)`."""
    name = name[:-3] if name[1:2] == "(" and name[3:] == ")" and name[2].islower() else name
    return name.replace("{", "").replace("}", "")


def _member_values(members: list[str]) -> list[str]:
    return [pair[1] if (pair := read_assignment(member)) else member for member in members]


def all_same(golds: list[str], answers: list[str], same: Same) -> bool:
    """Compare members in order."""
    return len(golds) == len(answers) and all(map(same, golds, answers))


def _any_order(golds: list[str], answers: list[str], same: Same) -> bool:
    """Match members in any order: equal texts first, then each other pair by `same`."""
    others, rest = [*answers], []
    # Comparing texts is cheap, and leaves few pairs for `same`.
    for member in golds:
        text = without_spaces(member)
        if (equal := next((o for o in others if without_spaces(o) == text), None)) is None:
            rest.append(member)
        else:
            others.remove(equal)
    if len(rest) > MOST_COMPARED:
        return False
    for member in rest:
        if (match := next((other for other in others if same(member, other)), None)) is None:
            return False
        others.remove(match)
    return True
