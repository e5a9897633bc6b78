r"""What a completion gives as its answer to a mathematical question: pure text, one pass.

    candidates(r"\boxed{7}, no: \boxed{42}") == Candidates("42", ...)

The last `\boxed{}` counts, and a final answer that is declared after it; without a box what
follows `Answer:`, `####` or `the answer is`; without that the last formula or number. Where several
boxes or formulas stand side by side (`\boxed{1} and \boxed{2}`) they are one list as well, which
counts if the gold answer is one. Only one answer is ever compared: nobody wins by naming many.
"""

import re
from typing import NamedTuple

from asymreinforce.grading.extraction import Box, boxes, last_tag

FINAL = re.compile(r"(?:final answer is|final answer\s*(?:\*\*)?\s*:|####)", re.IGNORECASE)
DECLARED = re.compile(
    r"(?:answer|solution(?: set)?|result)(?:\*\*)?\s*(?:\*\*)?"
    r"(?:\s+is\b|\s*[:=]|\s+(?=[$\\]))\s*(?:\*\*)?\s*:?",
    re.IGNORECASE,
)
HOPE = re.compile(r"\.?\s*I hope (?:it|this|that) is correct.*", re.IGNORECASE | re.DOTALL)
NEXT_LINE = re.compile(r"\n\s*\n|\n(?=\s*(?:#|Note\b|\*\*))|<\|")
SENTENCE_END = re.compile(r"\.(?=\s+[A-Z<]|\s*$)|\n")
STRANDED = re.compile(r"\$[ \t]*\n[^$\n]*\n[ \t]*\$|\\\([ \t]*\n[^\n]*\n[ \t]*\\\)")
"""An inline formula whose signs stand on other lines than it does: not a formula, nor its text."""
FORMULA = re.compile(
    r"(?<!\\)\$\$(?P<dd>(?:[^$\\]|\\.|\$(?!\$))+)\$\$|\\\[(?P<b>(?:[^\\]|\\(?![\[\]]))+)\\\]"
    r"|(?<![\\\d$])\$(?P<d>(?:[^$\\\n]|\\[^\n])+)\$|\\\((?P<p>(?:[^\\\n]|\\(?![()]))+)\\\)",
    re.DOTALL,
)
NUMBER = re.compile(
    r"(?<![A-Za-z\d_^{}\\])(?<![A-Za-z\d][.,])[-−–]?(?:\\?[$€£¥₹]\s*)?"
    r"(?:\d{1,3}(?:[, ]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)"
    r"(?:\s*(?:\\times|\\cdot|[×*x])\s*10\s*\^\s*\{?[-−]?\d+\}?)?(?:\s*/\s*\d+(?!\d|\.\d))?(?:\s*:\s*\d+)?(?:\s*(?:\\?%|percent(?:age)?\b|pct\b))?"
)
BARE_FRACTION = re.compile(r"-?\\[dt]?frac\s*\{[^{}]*\}\s*\{[^{}]*\}")
JOINT = re.compile(
    r"\s*(?:[,;.]|\s|\\(?:quad|qquad|text\s*\{[^{}]*\}|[,;]))*(?:,?\s*(?:and|or)\s*)?\s*"
)
WORD = re.compile(r"(?<![\\A-Za-z])[^\W\d_][^\W\d_']+")
PERCENT_AFTER = re.compile(r"\s*\$?\s*(\\?%|percent(?:age)?\b|pct\b)")
LONGEST_GAP, MOST_GAP_WORDS = 60, 4
LONGEST_BARE = 400
LONGEST_DECLARED = 2_000
LONGEST_TEXT = 50_000
"""Characters at the end of a completion without a box that are searched for an answer."""
MOST_SIDE_BY_SIDE = 64
MOST_MARKS = 64
OPEN_BOX = re.compile(r"\\f?box(?:ed)?\s*\{(?![^{}]*\})")
UNBRACED = re.compile(r"\\boxed\s*(-?\d+(?:[.,/]\d+)*|(?<=\s)[A-Za-z](?![A-Za-z]))")
EMPTY_BOX = re.compile(r"\\f?box(?:ed)?\s*\{\s*\}")
OPERATOR = re.compile(r"\s*[-+*/^=<>!]|\s*\\[a-z]")
CONTRAST = {"not", "but", "because", "since", "so", "instead"}
REFUSAL = re.compile(r"\b(?:know|sorry|cannot|can't|unable|unsure)\b", re.IGNORECASE)
DIGITS = re.compile(r"[-+]?\d+(?:\.\d+)?")
JOINING = re.compile(r"\b(?:and|or)\b|[,;]")
MOST_WORDS = 3
"""Words of a text without number or formula that may be an answer in words."""


class Candidates(NamedTuple):
    """The answer, and all that stand side by side with it, joined by commas (or the same)."""

    answer: str
    together: str


def candidates(text: str) -> Candidates | None:
    """Return the answer that a completion ends with; None where it gives none."""
    found = _filled(text)
    if not found:
        return _unbraced(text) or _tagged(text) or _declared(text) or _unmarked(text)
    last = found[-1]
    declared = _final(text[last.end :])
    if declared is not None:
        return declared
    answer = _content(text, last)
    return Candidates(answer, _run(text, found)) if answer else None


def gold_of(text: str) -> str:
    r"""Return the answer of a gold text: its boxes, its declared answer, else the whole of it."""
    found = _filled(text)
    if found:
        return _run(text, found)
    if opened := OPEN_BOX.search(text):
        return text[opened.end() :]  # a box that was cut off
    declared = _final(text) if len(text) > LONGEST_BARE else None
    return declared.together if declared else text


def _filled(text: str) -> list[Box]:
    """Return the boxes that hold something: a prompt's empty one may be repeated at the end."""
    return [box for box in boxes(text) if text[box.inside : box.end].strip()]


def _unbraced(text: str) -> Candidates | None:
    found = UNBRACED.findall(text)
    return Candidates(found[-1], found[-1]) if found else None


def _content(text: str, box: Box) -> str:
    inside = text[box.inside : box.end].strip()
    percent = PERCENT_AFTER.match(text, box.end + 1)
    return f"{inside}%" if inside and percent else inside


def _run(text: str, found: list[Box]) -> str:
    """Join the boxes that stand side by side at the end, equal neighbours once."""
    run = [found[-1]]
    for box in reversed(found[:-1]):
        if len(run) > MOST_SIDE_BY_SIDE or not _joins(text[box.end + 1 : run[0].start]):
            break
        run.insert(0, box)
    contents = [_content(text, box) for box in run]
    kept = [c for place, c in enumerate(contents) if not place or c != contents[place - 1]]
    return ", ".join(kept)


def _joins(gap: str) -> bool:
    """Tell whether what stands between two boxes makes a list of them: `\\text{ and }`, a comma."""
    if len(gap) > LONGEST_GAP:
        return False
    said = [word.casefold() for word in WORD.findall(re.sub(r"\\[a-zA-Z]+", " ", gap))]
    if not said:
        return True
    return len(said) <= MOST_GAP_WORDS and bool(JOINING.search(gap))


def _final(text: str) -> Candidates | None:
    """Return what is declared as the final answer, in so many words."""
    marks = list(FINAL.finditer(text))
    return _in_sentence(text[marks[-1].end() :]) if marks else None


def _tagged(text: str) -> Candidates | None:
    inside = last_tag(text)
    if not inside:
        return None
    return Candidates(inside, inside) if len(inside) <= LONGEST_BARE else _unmarked(inside)


def _declared(text: str) -> Candidates | None:
    """Return what follows the last `Answer:`, `####` or `the answer is` that has a value."""
    marks = [*FINAL.finditer(text), *DECLARED.finditer(text)][-MOST_MARKS:]
    for mark in sorted(marks, key=lambda mark: mark.end(), reverse=True):
        if found := _in_sentence(text[mark.end() :]):
            return found
    return None


def _in_sentence(text: str) -> Candidates | None:
    """Return the formula or number that a declaration begins with, else the last of its sentence.

    A declaration without either is an answer in words where it is short.
    """
    text = EMPTY_BOX.sub(" ", text)
    text = HOPE.sub("", NEXT_LINE.split(text.lstrip(' *:"\n\t'), 1)[0][:LONGEST_DECLARED])
    if (display := FORMULA.match(text)) and (display["dd"] or display["b"]):
        return _side_by_side(text, [display])
    sentence = SENTENCE_END.split(text, 1)[0].strip(" *:\"'`.")
    whole = Candidates(sentence, sentence)
    if not sentence:
        return None
    if is_bare(sentence):
        return whole
    if formula := FORMULA.match(sentence):
        return _side_by_side(sentence, [formula])
    if (first := NUMBER.match(sentence)) and not OPERATOR.match(sentence, first.end()):
        return Candidates(first[0].strip(), first[0].strip())
    return _unmarked(sentence)


def _unmarked(text: str) -> Candidates | None:
    """Return the whole of a bare answer, else the last formula or number of a text."""
    text = EMPTY_BOX.sub(" ", STRANDED.sub(" ", text))
    if is_bare(text):
        bare = text.strip()
        return Candidates(bare, bare)
    formulas = list(FORMULA.finditer(text[-LONGEST_TEXT:]))
    text = text[-LONGEST_TEXT:]
    numbers = list(NUMBER.finditer(text, formulas[-1].end() if formulas else 0))
    if numbers:
        return Candidates(numbers[-1][0].strip(), numbers[-1][0].strip())
    if formulas:
        return _side_by_side(text, formulas)
    if fractions := BARE_FRACTION.findall(text):
        return Candidates(fractions[-1], fractions[-1])
    short = text.strip()
    if (
        len(short) <= LONGEST_BARE
        and not REFUSAL.search(short)
        and 0 < len(WORD.findall(short)) <= MOST_WORDS
    ):
        return Candidates(short, short)
    return None


def _side_by_side(text: str, formulas: list[re.Match[str]]) -> Candidates:
    run = [formulas[-1]]
    for formula in reversed(formulas[:-1]):
        gap = text[formula.end() : run[0].start()]
        if len(run) > MOST_SIDE_BY_SIDE or not JOINT.fullmatch(gap):
            break
        run.insert(0, formula)
    contents = [_formula(text, formula) for formula in run]
    return Candidates(contents[-1], ", ".join(contents))


def _formula(text: str, formula: re.Match[str]) -> str:
    content = next(part for part in formula.groups() if part is not None).strip()
    return f"{content}%" if PERCENT_AFTER.match(text, formula.end()) else content


def is_bare(text: str) -> bool:
    r"""Tell whether a text is nothing but an answer: `x = 3`, `\frac{1}{2}`, `10 units`."""
    bare = text.strip().strip("*`")
    if not bare or len(bare) > LONGEST_BARE or ("\n" in bare and r"\begin" not in bare):
        return DIGITS.fullmatch(bare) is not None
    if FORMULA.fullmatch(bare):
        return True
    inside = re.sub(r"\\(?:text\w*|mbox|mathrm)\s*\{[^{}]*\}|\\[a-zA-Z]+|\b(?:and|or)\b", " ", bare)
    said = WORD.findall(inside)
    if not said:
        return True
    if CONTRAST & {word.casefold() for word in said}:
        return False
    if (formula := FORMULA.match(bare)) and len(WORD.findall(bare, formula.end())) > 1:
        return False
    if not re.search(r"\d", bare):
        return len(said) == 1
    return len(said) <= MOST_WORDS and bool(re.match(r"[-+\d\\$(.]", bare))
