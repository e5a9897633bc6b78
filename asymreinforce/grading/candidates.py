r"""What a completion gives as its answer to a mathematical question: pure text, one pass.

    find_candidates(r"\boxed{7}, no: \boxed{42}") == Candidates("42", "42")

The last `\boxed{}` counts; of the text behind it only a final answer in so many words, or a line of
`####` with nothing but a value, since a model that corrects itself says it so. Without a box what
is declared counts (`<answer>`, `####`, `the answer is`), without that the last formula or number.
Boxes or formulas that stand side by side (`\boxed{1} and \boxed{2}`) are one list as well, which
counts if the gold answer is one. Only one answer is ever compared: nobody wins by naming many.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from asymreinforce.grading.denial import ALTERNATIVE, BOUND, JOINED, is_denied
from asymreinforce.grading.extraction import Box, find_boxes, last_tag
from asymreinforce.grading.written_values import (
    CONTRAST,
    FORMULA,
    LONGEST_BARE,
    MOST_WORDS,
    NUMBER,
    PLAIN_VALUE,
    WORD,
    formula_content,
    is_bare,
    is_value,
)

IS = r"(?:\s+(?:is|are|est|es|ist|é)\b|\s*[是为為はв:：=]|\s+(?=[$\\]))"
FINAL = re.compile(rf"final answer\s*(?:\*\*)?{IS}|####", re.IGNORECASE)
DECLARED = re.compile(
    r"(?:answers?|solutions?(?: set)?|results?|values|roots|réponse|respuesta|resposta|antwort"
    rf"|ответ|答案|答え|故选)(?:\*\*)?\s*(?:\*\*)?{IS}\s*(?:\*\*)?\s*:?",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"\.(?=\s+[A-Z<]|\s*$)|\n|。|，(?=[\u4e00-\u9fff])")
JOINT = re.compile(
    r"\s*(?:[,;.]|\s|\\(?:quad|qquad|text\s*\{[^{}]*\}|[,;]))*(?:,?\s*(?:and|or)\s*)?\s*"
)
JOINING = re.compile(r"\b(?:and|or)\b|[,;]")
LONGEST_GAP = 60
LONGEST_DECLARED = 2_000
LONGEST_TEXT = 50_000
"""Characters at the end of a completion without a box that are searched for an answer."""
MOST_SIDE_BY_SIDE = 64
MOST_MARKS = 64
OPEN_BOX = re.compile(r"\\f?box(?:ed)?\s*\{(?![^{}]*\})")
EMPTY_BOX = re.compile(r"\\f?box(?:ed)?\s*\{\s*\}")
ALIGNED = re.compile(
    r"(?:(?:\$\$|\\\[)\s?)?\\begin\{((?:align|gather|eqnarray)(?:ed)?\*?)\}((?:[^\\]|\\(?!end|begin))*)"
    r"\\end\{\1\}\s?(?:\$\$|\\\])?"
)
"""A derivation over several lines."""
UNBRACED = re.compile(r"\\boxed\s*(-?\d+(?:[.,/]\d+)*|(?<=\s)[A-Za-z](?![A-Za-z]))")
OPERATOR = re.compile(r"\s*[-+*/^=<>!]|\s*\\[a-z]")
ENUMERATED = re.compile(r"\d+[.):]\s+\D")
VALUE_SIGN = re.compile(r"[\d$€£¥=+*/^<>\\-]")


class Candidates(NamedTuple):
    """The answer, and all that stand side by side with it, joined by commas (or the same)."""

    answer: str
    together: str


def find_candidates(text: str) -> Candidates | None:
    """Return the answer that a completion ends with; None if it gives none."""
    filled = _filled_boxes(text)
    if not filled:
        text = ALIGNED.sub(_last_line, EMPTY_BOX.sub(" ", text))
        if unbraced := UNBRACED.findall(text):
            return Candidates(unbraced[-1], unbraced[-1])
        return _tagged_answer(text) or _declared_answer(text) or _unmarked_answer(text)
    last = filled[-1]
    behind = text[last.end + 1 :]
    for mark in reversed([*FINAL.finditer(behind)][-MOST_MARKS:]):
        if _is_nothing_but_a_value(behind, mark):
            return _in_sentence(behind[mark.end() :])
    return _unless_denied(
        text, last.start, Candidates(_box_content(text, last), _joined_boxes(text, filled))
    )


def _unless_denied(text: str, start: int, given: Candidates) -> Candidates:
    """Return an answer with the denial before it: `not 42` is another answer than 42."""
    return Candidates(*[f"not {given.answer}"] * 2) if is_denied(text, start) else given


def gold_of(text: str) -> str:
    r"""Return the answer of a gold text: its boxes, its declared answer, else the whole of it."""
    filled = _filled_boxes(text)
    if filled:
        return _joined_boxes(text, filled)
    if opened := OPEN_BOX.search(text):
        return text[opened.end() :]  # a box that was cut off
    declared = _declared_answer(text) if len(text) > LONGEST_BARE else None
    return declared.together if declared else text


def _filled_boxes(text: str) -> list[Box]:
    """Return the boxes that hold something: a prompt's empty one may be repeated at the end."""
    return [box for box in find_boxes(text) if text[box.inside : box.end].strip()]


def _last_line(derivation: re.Match[str]) -> str:
    """Return what a derivation arrives at, as a formula of its own."""
    line = derivation[2].strip().removesuffix(r"\\").rpartition(r"\\")[2]
    return f" ${line.rpartition('=')[2].replace('&', ' ').strip()}$ "


def _box_content(text: str, box: Box) -> str:
    """Return what stands in a box; of a sentence in it, what that declares."""
    inside = text[box.inside : box.end].strip()
    is_sentence = "\\" not in inside and len(WORD.findall(inside)) > 1
    declared = _declared_answer(inside) if is_sentence else None
    return declared.answer if declared else inside


def _joined_boxes(text: str, filled: list[Box]) -> str:
    """Join the boxes that stand side by side at the end, equal neighbours once."""
    run = [filled[-1]]
    for box in reversed(filled[:-1]):
        gap = text[box.end + 1 : run[0].start]
        if len(run) > MOST_SIDE_BY_SIDE or not _is_gap_of_list(gap):
            break
        run.insert(0, box)
    contents = [_box_content(text, box) for box in run]
    kept = [c for place, c in enumerate(contents) if not place or c != contents[place - 1]]
    return ", ".join(kept)


def _is_gap_of_list(gap: str) -> bool:
    """Tell whether two boxes with this between them are a list: in a sentence, joined by `and`."""
    if len(gap) > LONGEST_GAP:
        return False
    said = {word.casefold() for word in WORD.findall(re.sub(r"\\[a-zA-Z]+", " ", gap))}
    return not said or bool(
        JOINING.search(gap) and not SENTENCE_END.search(gap) and not CONTRAST & said
    )


def _is_nothing_but_a_value(text: str, mark: re.Match[str]) -> bool:
    """Tell whether a mark declares a value and says no more, so that it stands against a box."""
    behind = text[mark.end() :][:LONGEST_DECLARED].lstrip(' *:"\n\t')
    line = SENTENCE_END.split(behind, 1)[0].strip(" *")
    if mark[0] == "####" and (WORD.search(line) or not _may_declare(text, mark)):
        return False
    return is_bare(line) or FORMULA.match(behind) is not None


def _may_declare(text: str, mark: re.Match[str]) -> bool:
    """Tell a `####` before an answer from that of a heading, such as `#### Verification`."""
    if mark[0] != "####":
        return True
    line = text[mark.end() :].lstrip(" *").partition("\n")[0][:LONGEST_BARE]
    if ENUMERATED.match(line) or not VALUE_SIGN.search(line):
        return False
    return is_bare(line) or NUMBER.match(line) is not None


def _tagged_answer(text: str) -> Candidates | None:
    inside = last_tag(text)
    if not inside:
        return None
    whole = Candidates(inside, inside)
    return (
        whole if is_bare(inside) else _declared_answer(inside) or _unmarked_answer(inside) or whole
    )


def _declared_answer(text: str) -> Candidates | None:
    """Return what follows the last `Answer:`, `####` or `the answer is` that has a value."""
    marks = [*FINAL.finditer(text), *DECLARED.finditer(text)][-MOST_MARKS:]
    for mark in sorted(marks, key=lambda mark: mark.end(), reverse=True):
        if _may_declare(text, mark) and (answer := _in_sentence(text[mark.end() :])):
            return _unless_denied(text, mark.start(), answer)
    return None


def _in_sentence(text: str) -> Candidates | None:
    """Return the formulas or number that a declaration begins with, else the last of its sentence.

    A declaration without either is an answer in words if it is short.
    """
    text = text.lstrip(' *:"\n\t')[:LONGEST_DECLARED]
    if (display := FORMULA.match(text)) and (display["dd"] or display["b"]):
        return _side_by_side(text, [display])
    sentence = SENTENCE_END.split(text, 1)[0].strip(" *:\"'`").rstrip(".")
    if not sentence:
        return None
    if is_bare(sentence) or BOUND.match(sentence):
        return Candidates(sentence, sentence)
    if FORMULA.match(sentence):
        return _first_formulas(sentence)
    first = PLAIN_VALUE.match(sentence)
    if first and not any(more.match(sentence, first.end()) for more in (OPERATOR, ALTERNATIVE)):
        return Candidates(first[0].strip(), first[0].strip())
    return _unmarked_answer(sentence)


def _unmarked_answer(text: str) -> Candidates | None:
    """Return the whole of a bare answer, else the last formula or number of a text."""
    if is_bare(text) or BOUND.match(text):
        return Candidates(text.strip(), text.strip())
    text = text[-LONGEST_TEXT:]
    formulas = list(FORMULA.finditer(text))
    if value := _last_value(text, formulas[-1].end() if formulas else 0):
        return value
    if formulas:
        return _unless_denied(text, formulas[-1].start(), _side_by_side(text, formulas))
    short = text.strip()
    if len(short) <= LONGEST_BARE and WORD.search(short) and len(short.split()) <= MOST_WORDS:
        return Candidates(short, short)
    return None


def _last_value(text: str, start: int) -> Candidates | None:
    """Return the last value that is written without LaTeX, with those that `or` joins to it."""
    values = [value for value in PLAIN_VALUE.finditer(text, start) if is_value(value[0].strip())]
    if not values:
        return None
    first = last = values[-1]
    for value in reversed(values[:-1]):
        gap = text[value.end() : first.start()]
        if not (JOINED.fullmatch(gap) or (first is not last and gap.strip() == ",")):
            break
        first = value
    joined = text[first.start() : last.end()].strip()
    return _unless_denied(text, first.start(), Candidates(joined, joined))


def _first_formulas(text: str) -> Candidates:
    """Return the formulas that a declaration begins with: all of them are the answer."""
    run: list[re.Match[str]] = []
    for formula in FORMULA.finditer(text):
        if run and not JOINT.fullmatch(text[run[-1].end() : formula.start()]):
            break
        run.append(formula)
    together = ", ".join(formula_content(formula) for formula in run[:MOST_SIDE_BY_SIDE])
    return Candidates(together, together)


def _side_by_side(text: str, formulas: Sequence[re.Match[str]]) -> Candidates:
    run = [formulas[-1]]
    for formula in reversed(formulas[:-1]):
        gap = text[formula.end() : run[0].start()]
        if len(run) > MOST_SIDE_BY_SIDE or not JOINT.fullmatch(gap):
            break
        run.insert(0, formula)
    contents = [formula_content(formula) for formula in run]
    together = ", ".join(contents)
    are_alternatives = ALTERNATIVE.search(text, run[0].end(), run[-1].start() + 1) is not None
    return Candidates(together if are_alternatives else contents[-1], together)
