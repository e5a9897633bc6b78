r"""How an answer is built: lists, tuples, sets, matrices, chains of relations.

Everything here cuts canonical text (`notation.py`) where no bracket is open, and only there.
Intervals and tuples are written alike, so brackets keep the signs they were written with.
"""

import re
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


class Bracketed(NamedTuple):
    """A text that stands in brackets as a whole."""

    opening: str
    inner: str
    closing: str


class RelationChain(NamedTuple):
    """Terms with the relations between them: `0 < x < 1` is (0, x, 1) and (<, <)."""

    terms: tuple[str, ...]
    relations: tuple[str, ...]


def blot_brackets(text: str) -> str:
    """Return a text of the same length in which what stands in brackets is blotted out.

    All of it is, if the brackets do not match. One pass over the text.
    """
    pieces, depth, position = [], 0, 0
    for bracket in BRACKET.finditer(text):
        between = text[position : bracket.start()]
        pieces.append(INSIDE * len(between) if depth else between)
        mark = INSIDE
        if bracket[0] != r"\\":
            opens = bracket[0] in OPENING
            depth += 1 if opens else -1
            mark = BEGIN if opens and depth == 1 else END if not opens and not depth else INSIDE
        if depth < 0:
            break
        pieces.append(mark * len(bracket[0]))
        position = bracket.end()
    return INSIDE * len(text) if depth else "".join(pieces) + text[position:]


def split_outside(text: str, at: re.Pattern[str]) -> list[str]:
    """Cut a text at a pattern where no bracket is open."""
    marks = list(at.finditer(blot_brackets(text)))
    starts = [0, *(mark.end() for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(text)]
    return [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def read_chain(text: str) -> RelationChain | None:
    """Cut a text at its relations; None if it has none."""
    relations = RELATION.findall(blot_brackets(text))
    if not relations:
        return None
    both_signs = tuple("=" if relation == ":=" else relation for relation in relations)
    return RelationChain(tuple(split_outside(text, RELATION)), both_signs)


def rising_chain(chain: RelationChain) -> RelationChain:
    """Write inequalities with the least term first; other chains as they are."""
    turned = {">": "<", r"\geq": r"\leq"}
    if not set(chain.relations) <= set(turned):
        return chain
    return RelationChain(chain.terms[::-1], tuple(turned[sign] for sign in chain.relations[::-1]))


def outer_bracket(text: str) -> Bracketed | None:
    """Return what encloses a text from its first sign to its last, if that is one pair."""
    brackets = re.fullmatch(rf"({BEGIN}+){INSIDE}*({END}+)", blot_brackets(text))
    if brackets is None:
        return None
    opening, closing = text[: brackets.end(1)], text[brackets.start(2) :]
    inner = text[brackets.end(1) : brackets.start(2)].strip()
    if (opening, closing) == ANGLES:
        opening, closing = "(", ")"
    return Bracketed(opening, inner, closing) if (opening, closing) in PAIRS else None


def peel_brackets(text: str) -> str:
    """Drop braces and parentheses around the whole that group nothing."""
    for _ in range(MOST_PEELED):
        outer = outer_bracket(text)
        if outer is None or (outer.opening, outer.closing) not in (("{", "}"), ("(", ")")):
            break
        if outer.opening == "(" and len(split_outside(outer.inner, COMMA)) > 1:
            break  # a tuple
        text = outer.inner
    return text


def list_members(text: str) -> list[str]:
    """Return the members of a list, each once; groups of them (`5,2; 7,2`) are tuples."""
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
    return [
        (f"{name}=" if name else "") + value.replace(r"\pm", upper).replace(r"\mp", lower).strip()
        for upper, lower in (("+", "-"), ("-", "+"))
    ]


def read_assignment(text: str) -> tuple[str, str] | None:
    r"""Return the name and the value of `x = 5`, `5 = x`, `f(x) = 5`, `x = 2+3 = 5`, `A(1,2)`.

    None if no side is a name: `2x + z = 1` says nothing about a value.
    """
    relation = read_chain(text)
    if relation is None:
        point = POINT.match(text)
        is_point = point and (tuple_ := outer_bracket(text[point.end() :])) and "," in tuple_.inner
        return (point[0], text[point.end() :]) if point and is_point else None
    terms = relation.terms
    if not set(relation.relations) <= {"=", r"\approx", r"\in"} or not terms[0]:
        return None
    if relation.relations == ("=",) and is_name(terms[1]) and not has_variable(terms[0]):
        terms = terms[::-1]
    # Of three terms or more the last is what the others come down to, whatever the first is.
    is_value = not has_variable(terms[0]) and not has_variable(terms[-1])
    if not (is_name(terms[0]) or relation.relations.count("=") > 1 or is_value):
        return None
    return re.sub(r"\s+", "", terms[0]), stated_value(relation._replace(terms=terms))


def stated_value(relation: RelationChain) -> str:
    """Return what a chain of equalities comes down to: its last term before an approximation."""
    if r"\approx" in relation.relations:
        first = relation.relations.index(r"\approx")
        if first > 0 or not is_name(relation.terms[0]):
            return relation.terms[first]
    return relation.terms[-1]


def has_variable(text: str) -> bool:
    """Tell whether a letter stands alone in a text, as variables do."""
    return re.search(r"(?<![\\A-Za-z])[a-zA-Z](?![a-zA-Z])", text) is not None


def is_name(text: str) -> bool:
    r"""Tell whether a text only names something: `x`, `f(2)`, `a_{37}`, `|AB|`, `V_1:V_2`."""
    bare = re.sub(r"_\s*(?:\{[^{}]*\}|\w)", "", text)
    bare = re.sub(r"(?<=[A-Za-z])'*\s*\([^()]*\)", "", bare)
    if FUNCTION_COMMAND.search(bare) or not re.search(r"[A-Za-z]", bare):
        return False
    return not NAMED.sub("", bare).strip() and "^" not in bare and "*" not in bare


def matrix_rows(text: str) -> list[list[str]] | None:
    """Return the rows of a matrix that is the whole text."""
    while (outer := outer_bracket(text)) and outer.inner.startswith(r"\begin"):
        text = outer.inner
    begin_end = MATRIX.fullmatch(text)
    if begin_end is None:
        return None
    body = begin_end[1] if begin_end[1] is not None else begin_end[2]
    if r"\begin" in body:
        return None
    rows = [row.strip() for row in re.split(r"\\\\(?:\s*\[[^\]]*\])?", body)]
    return [[cell.strip() for cell in row.split("&")] for row in rows if row]
