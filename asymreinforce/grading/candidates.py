r"""Find the answer that a completion gives to a mathematical question. Pure text, one pass.

    find_candidates(r"\boxed{7}, no: \boxed{42}") == Candidates("42", "42")

docs/reference/graders.md says which text counts. Only one answer is ever compared, so that a
completion wins nothing by naming many.
"""

import itertools
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from asymreinforce.grading.extraction import Box, find_boxes, last_tag
from asymreinforce.grading.written_values import (
    ALTERNATIVE,
    BOUND,
    CONTRAST,
    FORMULA,
    JOINED,
    LONGEST_BARE,
    MOST_WORDS,
    NUMBER,
    PLAIN_VALUE,
    WORD,
    formula_content,
    is_bare,
    is_denied,
    is_value,
)

# English first, then the same words in French, Spanish, Portuguese, German, Russian and Chinese.
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
# Both keep the work small if a completion repeats a box or a mark thousands of times.
MOST_SIDE_BY_SIDE = 64
MOST_MARKS = 64
OPEN_BOX = re.compile(r"\\f?box(?:ed)?\s*\{(?![^{}]*\})")
EMPTY_BOX = re.compile(r"\\f?box(?:ed)?\s*\{\s*\}")
ALIGNED = re.compile(
    r"(?:(?:\$\$|\\\[)\s?)?\\begin\{((?:align|gather|eqnarray)(?:ed)?\*?)\}((?:[^\\]|\\(?!end|begin))*)"
    r"\\end\{\1\}\s?(?:\$\$|\\\])?"
)
UNBRACED = re.compile(r"\\boxed\s*(-?\d+(?:[.,/]\d+)*|(?<=\s)[A-Za-z](?![A-Za-z]))")
OPERATOR = re.compile(r"\s*[-+*/^=<>!]|\s*\\[a-z]")
ENUMERATED = re.compile(r"\d+[.):]\s+\D")
VALUE_SIGN = re.compile(r"[\d$€£¥=+*/^<>\\-]")
Part = TypeVar("Part")


class Candidates(NamedTuple):
    """The answer, and the answer with all its neighbours, joined by commas."""

    answer: str
    together: str


def find_candidates(text: str) -> Candidates | None:
    """Return the answer that a completion ends with; None if it gives none."""
    filled = _filled_boxes(text)
    if not filled:
        text = ALIGNED.sub(_last_line, EMPTY_BOX.sub(" ", text))
        if unbraced := UNBRACED.findall(text):
            return _single(unbraced[-1])
        return _tagged_answer(text) or _declared_answer(text) or _unmarked_answer(text)
    last = filled[-1]
    behind = text[last.end + 1 :]
    for mark in reversed([*FINAL.finditer(behind)][-MOST_MARKS:]):
        # A final answer after the last box corrects the box.
        if _is_nothing_but_a_value(behind, mark):
            return _in_sentence(behind[mark.end() :])
    given = Candidates(_box_content(text, last), _joined_boxes(text, filled))
    return _unless_denied(text, last.start, given)


def gold_of(text: str) -> str:
    r"""Return the answer of a gold text: its boxes, else its declared answer, else all of it."""
    if filled := _filled_boxes(text):
        return _joined_boxes(text, filled)
    if opened := OPEN_BOX.search(text):
        return text[opened.end() :]  # a box that was cut off
    # A short gold text is the answer itself; only a worked solution declares one.
    declared = _declared_answer(text) if len(text) > LONGEST_BARE else None
    return declared.together if declared else text


def _single(answer: str) -> Candidates:
    return Candidates(answer.strip(), answer.strip())


def _unless_denied(text: str, start: int, given: Candidates) -> Candidates:
    """Put `not` before an answer that the text denies, so that `not 42` never equals 42."""
    return _single(f"not {given.answer}") if is_denied(text, start) else given


def _filled_boxes(text: str) -> list[Box]:
    """Return the boxes that are not empty."""
    # A completion may repeat the prompt's empty box at its end.
    return [box for box in find_boxes(text) if text[box.inside : box.end].strip()]


def _last_line(derivation: re.Match[str]) -> str:
    """Return the last right-hand side of a derivation as a separate formula."""
    line = derivation[2].strip().removesuffix(r"\\").rpartition(r"\\")[2]
    return f" ${line.rpartition('=')[2].replace('&', ' ').strip()}$ "


def _box_content(text: str, box: Box) -> str:
    """Return the content of a box; if the content is a sentence, the answer that it declares."""
    inside = text[box.inside : box.end].strip()
    is_sentence = "\\" not in inside and len(WORD.findall(inside)) > 1
    declared = _declared_answer(inside) if is_sentence else None
    return declared.answer if declared else inside


def _adjoining(parts: list[Part], are_joined: Callable[[Part, Part], object]) -> list[Part]:
    """Return the first part and the parts joined to it one after another."""
    run = parts[:1]
    for part in parts[1 : MOST_SIDE_BY_SIDE + 1]:
        if not are_joined(run[-1], part):
            break
        run.append(part)
    return run


def _joined_boxes(text: str, filled: list[Box]) -> str:
    """Join the neighbouring boxes at the end of a text, equal neighbours once."""
    run = _adjoining(filled[::-1], lambda b, a: _is_gap_of_list(text[a.end + 1 : b.start]))
    contents = [_box_content(text, box) for box in reversed(run)]
    return ", ".join(content for content, _ in itertools.groupby(contents))


def _is_gap_of_list(gap: str) -> bool:
    """Tell whether the text between two boxes makes a list: no words, or a joining `and`."""
    if len(gap) > LONGEST_GAP:
        return False
    said = {word.casefold() for word in WORD.findall(re.sub(r"\\[a-zA-Z]+", " ", gap))}
    # "not" or "but" between two boxes means that the second replaces the first.
    is_joined = JOINING.search(gap) and not SENTENCE_END.search(gap) and not CONTRAST & said
    return not said or bool(is_joined)


def _is_nothing_but_a_value(text: str, mark: re.Match[str]) -> bool:
    """Tell whether a mark declares a value and nothing else, so that it overrides a box."""
    behind = text[mark.end() :][:LONGEST_DECLARED].lstrip(' *:"\n\t')
    line = SENTENCE_END.split(behind, 1)[0].strip(" *")
    if mark[0] == "####" and (WORD.search(line) or not _may_declare(text, mark)):
        return False
    return is_bare(line) or FORMULA.match(behind) is not None


def _may_declare(text: str, mark: re.Match[str]) -> bool:
    """Tell a `####` before an answer from a heading such as `#### Verification`."""
    line = text[mark.end() :].lstrip(" *").partition("\n")[0][:LONGEST_BARE]
    is_heading = ENUMERATED.match(line) or not VALUE_SIGN.search(line)
    return mark[0] != "####" or not (is_heading or not (is_bare(line) or NUMBER.match(line)))


def _tagged_answer(text: str) -> Candidates | None:
    if not (inside := last_tag(text)):
        return None
    given = None if is_bare(inside) else _declared_answer(inside) or _unmarked_answer(inside)
    return given or _single(inside)


def _declared_answer(text: str) -> Candidates | None:
    """Return the value after the last `Answer:`, `####` or `the answer is` that has a value."""
    marks = [*FINAL.finditer(text), *DECLARED.finditer(text)][-MOST_MARKS:]
    for mark in sorted(marks, key=lambda mark: mark.end(), reverse=True):
        if _may_declare(text, mark) and (answer := _in_sentence(text[mark.end() :])):
            return _unless_denied(text, mark.start(), answer)
    return None


def _in_sentence(text: str) -> Candidates | None:
    """Return the formulas or number that begin a declaration, else the last of its sentence."""
    text = text.lstrip(' *:"\n\t')[:LONGEST_DECLARED]
    if (display := FORMULA.match(text)) and (display["dd"] or display["b"]):
        return _single(formula_content(display))
    sentence = SENTENCE_END.split(text, 1)[0].strip(" *:\"'`").rstrip(".")
    if not sentence:
        return None
    if is_bare(sentence) or BOUND.match(sentence):
        return _single(sentence)
    if FORMULA.match(sentence):  # a list of formulas at the start is one answer
        run = _adjoining([*FORMULA.finditer(sentence)], lambda a, b: _are_joint(sentence, a, b))
        return _single(", ".join(map(formula_content, run)))
    first = PLAIN_VALUE.match(sentence)
    if first and not any(more.match(sentence, first.end()) for more in (OPERATOR, ALTERNATIVE)):
        return _single(first[0])
    return _unmarked_answer(sentence)


def _unmarked_answer(text: str) -> Candidates | None:
    """Return the whole text if it is a bare answer, else its last formula or number."""
    if is_bare(text) or BOUND.match(text):
        return _single(text)
    text = text[-LONGEST_TEXT:]
    formulas = list(FORMULA.finditer(text))
    if value := _last_value(text, formulas[-1].end() if formulas else 0):
        return value
    if formulas:
        return _unless_denied(text, formulas[-1].start(), _last_formulas(text, formulas))
    is_short = len(text.strip()) <= LONGEST_BARE and len(text.split()) <= MOST_WORDS
    return _single(text) if is_short and WORD.search(text) else None


def _last_value(text: str, start: int) -> Candidates | None:
    """Return the last value written without LaTeX, with the values that `or` joins to it."""
    values = [value for value in PLAIN_VALUE.finditer(text, start) if is_value(value[0].strip())]
    if not values:
        return None

    def are_joined(after: re.Match[str], before: re.Match[str]) -> bool:
        gap = text[before.end() : after.start()]
        return bool(JOINED.fullmatch(gap)) or (after is not values[-1] and gap.strip() == ",")

    first = _adjoining(values[::-1], are_joined)[-1].start()
    return _unless_denied(text, first, _single(text[first : values[-1].end()]))


def _are_joint(text: str, before: re.Match[str], after: re.Match[str]) -> bool:
    return JOINT.fullmatch(text[before.end() : after.start()]) is not None


def _last_formulas(text: str, formulas: list[re.Match[str]]) -> Candidates:
    run = _adjoining(formulas[::-1], lambda b, a: _are_joint(text, a, b))[::-1]
    contents = [*map(formula_content, run)]
    together = ", ".join(contents)
    are_alternatives = ALTERNATIVE.search(text, run[0].end(), run[-1].start() + 1)
    return Candidates(together if are_alternatives else contents[-1], together)
