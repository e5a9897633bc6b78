r"""How an answer is built: lists, tuples, sets, intervals, unions, matrices, chains of relations.

Everything here cuts canonical text (`notation.py`) where no bracket is open, and only there.
Intervals and tuples are written alike, so brackets keep the signs they were written with.
"""

import itertools
import re
from typing import NamedTuple

from asymreinforce.grading.math.notation import CLOSE, OPEN, squeezed

BRACKET = re.compile(rf"\\\\|\\[{{}}]|\\[lr]angle(?![A-Za-z])|[{{}}()\[\]{OPEN}{CLOSE}]")
OPENING = {"{", "(", "[", r"\{", r"\langle", OPEN}
PAIRS = {("(", ")"), ("[", "]"), ("[", ")"), ("(", "]"), (r"\{", r"\}"), ("{", "}")}
ANGLES = (r"\langle", r"\rangle")
COMMA = re.compile(r"[,;]|(?<![A-Za-z\\])(?:and|or)(?![a-z])")
STRONG = re.compile(r";|(?<![A-Za-z\\])(?:and|or)(?![a-z])")
BRACKET_OR_COMMA = re.compile(f"{BRACKET.pattern}|(?P<comma>{COMMA.pattern})")
UNION = re.compile(r"\\cup(?![A-Za-z])")
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


class Bracketed(NamedTuple):
    """A text that stands in brackets as a whole."""

    opening: str
    inner: str
    closing: str


class Chain(NamedTuple):
    """Terms with the relations between them: `0 < x < 1` is (0, x, 1) and (<, <)."""

    terms: tuple[str, ...]
    relations: tuple[str, ...]


def split(text: str, at: re.Pattern[str]) -> list[str]:
    """Cut a text at a pattern where no bracket is open; whole, where brackets do not match."""
    depth, start, parts = 0, 0, []
    brackets = list(BRACKET.finditer(text))
    position = 0
    for bracket in [*brackets, None]:
        end = bracket.start() if bracket else len(text)
        if depth == 0:
            for mark in at.finditer(text, position, end):
                parts.append((text[start : mark.start()].strip(), mark[0]))
                start = mark.end()
        if bracket:
            if bracket[0] != r"\\":
                depth += 1 if bracket[0] in OPENING else -1
            position = bracket.end()
            if depth < 0:
                return [text]
    if depth:
        return [text]
    return [part for part, _ in parts] + [text[start:].strip()]


def bracketed(text: str) -> Bracketed | None:
    """Return what encloses a text from its first sign to its last, if that is one pair."""
    depth = 0
    first = last = None
    for bracket in BRACKET.finditer(text):
        if bracket[0] == r"\\":
            continue
        if first is None:
            if bracket.start() or bracket[0] not in OPENING:
                return None
            first = bracket
        depth += 1 if bracket[0] in OPENING else -1
        if depth == 0:
            last = bracket
            break
    if first is None or last is None or last.end() != len(text):
        return None
    opening, closing = first[0], last[0]
    if (opening, closing) == ANGLES:
        opening, closing = "(", ")"
    if (opening, closing) not in PAIRS:
        return None
    return Bracketed(opening, text[first.end() : last.start()].strip(), closing)


def peeled(text: str) -> str:
    """Drop braces and parentheses around the whole that group nothing; linear in the depth."""
    partner: dict[int, int] = {}
    enclosing: set[int] = set()
    stack: list[tuple[int, str]] = []
    for mark in BRACKET_OR_COMMA.finditer(text):
        if mark["comma"] and stack:
            enclosing.add(stack[-1][0])
        elif mark[0] in OPENING:
            stack.append((mark.start(), mark[0]))
        elif not mark["comma"] and mark[0] != r"\\" and stack:
            start, sign = stack.pop()
            if (sign, mark[0]) in (("{", "}"), ("(", ")")):
                partner[start] = mark.start()
    start, end = 0, len(text)
    while start < end:
        while text[start] == " " and start < end - 1:
            start += 1
        while text[end - 1] == " " and end > start + 1:
            end -= 1
        if partner.get(start) != end - 1:
            break
        if text[start] == "(" and start in enclosing:
            break  # a tuple
        start, end = start + 1, end - 1
    return text[start:end].strip()


def elements(text: str) -> list[str]:
    """Return the members of a list; groups of named ones (`p=5,q=2; p=7,q=2`) become tuples."""
    groups = [split(group, COMMA) for group in split(text, STRONG) if group]
    sizes = {len(group) for group in groups}
    if len(groups) > 1 and sizes != {1} and len(sizes) == 1:
        named = [[assignment(member) for member in group] for group in groups]
        if all(pair is not None for group in named for pair in group):
            return [f"({','.join(pair[1] for pair in group if pair)})" for group in named]
    members = [member.strip(" .") for member in split(text, COMMA) if member]
    if len(members) > 1:
        members = list({squeezed(member): member for member in members}.values())
    return [signed for member in members for signed in signs(member)]


def signs(text: str) -> list[str]:
    r"""Write `a \pm b` as `a+b` and `a-b`; `\mp` goes the other way."""
    if r"\pm" not in text and r"\mp" not in text:
        return [text]
    pair = assignment(text)
    body = pair[1] if pair else text
    both = [
        body.replace(r"\pm", upper).replace(r"\mp", lower).strip()
        for upper, lower in (("+", "-"), ("-", "+"))
    ]
    return [f"{pair[0]}={value}" for value in both] if pair else both


def chain(text: str) -> Chain | None:
    """Cut a text at its relations; None where it has none."""
    terms = split(text, RELATION)
    if len(terms) < 2:
        return None
    relations = []
    position = 0
    for before, after in itertools.pairwise(terms):
        # The terms are in order, so the sign between two is the first after the one before.
        position = text.index(before, position) + len(before)
        mark = RELATION.search(text, position)
        if mark is None:
            return None
        relations.append("=" if mark[0] == ":=" else mark[0])
        position = text.find(after, mark.end())
    return Chain(tuple(terms), tuple(relations))


def assignment(text: str) -> tuple[str, str] | None:
    r"""Return the name and the value of `x = 5`, `f(x) = 5`, `x = 2+3 = 5` or `x \approx 5`.

    None where the left side is more than a name: `2x + z = 1` says nothing about a value.
    """
    found = chain(text)
    if found is None or not set(found.relations) <= {"=", r"\approx", r"\in"}:
        return None
    if not found.terms[0]:
        return None
    # Of three terms or more the last is what the others come down to, whatever the first is.
    is_value = not has_variable(found.terms[0]) and not has_variable(found.terms[-1])
    if not (is_name(found.terms[0]) or found.relations.count("=") > 1 or is_value):
        return None
    return re.sub(r"\s+", "", found.terms[0]), stated(found)


def stated(found: Chain) -> str:
    """Return what a chain of equalities comes down to: its last term before an approximation."""
    if r"\approx" in found.relations:
        first = found.relations.index(r"\approx")
        if first > 0 or not is_name(found.terms[0]):
            return found.terms[first]
    return found.terms[-1]


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


def matrix(text: str) -> list[list[str]] | None:
    """Return the rows of a matrix that is the whole text."""
    while (outer := bracketed(text)) and outer.inner.startswith(r"\begin"):
        text = outer.inner
    found = MATRIX.fullmatch(text)
    if found is None:
        return None
    body = found[1] if found[1] is not None else found[2]
    if r"\begin" in body:
        return None
    rows = [row.strip() for row in re.split(r"\\\\(?:\s*\[[^\]]*\])?", body)]
    return [[cell.strip() for cell in row.split("&")] for row in rows if row]


def exception(text: str) -> str | None:
    r"""Return the value that `x \ne 3` leaves out."""
    found = chain(text)
    if found is None or found.relations != (r"\ne",) or not is_name(found.terms[0]):
        return None
    return None if len(split(text, COMMA)) > 1 else found.terms[1]


def rising(found: Chain) -> Chain | None:
    """Write a chain of inequalities with the least term first; None where it is no such chain."""
    terms, relations = found
    if set(relations) <= {">", r"\geq"}:
        turned = {">": "<", r"\geq": r"\leq"}
        return Chain(terms[::-1], tuple(turned[relation] for relation in relations[::-1]))
    return found if set(relations) <= {"<", r"\leq"} else None


def interval(text: str) -> Bracketed | None:
    r"""Write a simple inequality (`x > 3`, `-2 \leq x < 7`) as an interval."""
    found = chain(text)
    found = found and rising(found)
    if found is None:
        return None
    terms, relations = found
    if len(terms) == 3 and is_name(terms[1]):
        low, high = terms[0], terms[2]
        return Bracketed(
            "(" if relations[0] == "<" else "[",
            f"{low},{high}",
            ")" if relations[1] == "<" else "]",
        )
    if len(terms) == 2 and is_name(terms[0]) and "|" not in terms[0]:
        return Bracketed("(", rf"-\infty,{terms[1]}", ")" if relations[0] == "<" else "]")
    if len(terms) == 2 and is_name(terms[1]) and "|" not in terms[1]:
        return Bracketed("(" if relations[0] == "<" else "[", rf"{terms[0]},\infty", ")")
    return None
