r"""The graders of mathematical questions: `math` by equivalence, `gsm8k` by the final number."""

import functools
import re

from asymreinforce.grading.candidates import LONGEST_DECLARED, MOST_MARKS, find_candidates, gold_of
from asymreinforce.grading.extraction import last_boxed
from asymreinforce.grading.math.equivalence import equivalent
from asymreinforce.grading.verdict import NO_ANSWER, Verdict
from asymreinforce.grading.written_values import NUMBER, is_denied

MOST_REMEMBERED = 16_384
LONGEST_REMEMBERED = 512
"""Characters of gold and answer together; with `MOST_REMEMBERED`, the cache stays under 20 MB."""


def math(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    r"""Compare the last answer of a completion with the gold answer; a box goes first."""
    if text.strip() == gold_answer.strip() != "":
        return Verdict(1.0, text.strip(), "ok")
    given = find_candidates(text)
    if given is None:
        return NO_ANSWER
    # A gold answer may be a single value or a list, and the text does not say which is asked for.
    for answer in dict.fromkeys((given.answer, given.together)):
        if is_right(gold_answer, answer):
            return Verdict(1.0, answer, "ok")
    return Verdict(0.0, given.answer, "ok")


def is_right(gold: str, answer: str) -> bool:
    """Compare a gold answer with a bare answer, from a cache if both are short."""
    # Most samples of a prompt repeat an answer that another sample gave.
    is_long = len(gold) + len(answer) > LONGEST_REMEMBERED
    return (is_right_remembered.__wrapped__ if is_long else is_right_remembered)(gold, answer)


@functools.lru_cache(MOST_REMEMBERED)
def is_right_remembered(gold: str, answer: str) -> bool:
    """Compare a gold answer with a bare answer; results are cached."""
    return equivalent(gold=gold_of(gold), answer=answer)


MARKS = re.compile(
    r"####(?=[\W_]{0,9}\d|[^\n]{0,99}\\box)|^\s*(?:\*\*)?A(?:nswer)?(?:\*\*)?\s*:"
    r"|answer(?:\*\*)?\s*(?:is\b|:)",
    re.I | re.M,
)
CALCULATION = re.compile(
    rf"(?:{NUMBER.pattern}!?\s*(?:[-+*/×÷=x]|\\times|\\cdot|\\div)\s*)*{NUMBER.pattern}!?"
)
PERCENT = re.compile(r"\\?%|percent(?:age)?|pct")
REMARK = re.compile(r"(?<=\d)([^()\n]{0,40}\s)\([^()\n]*\)")
"""A remark in parentheses behind a number, such as how the number came about."""


def gsm8k(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Compare the number in the last box, else after `####`, `A:` or `Answer:`, else the last one.

    The gold answer is a number or a worked solution that ends in `#### number`.
    """
    number = final_number(text)
    if number is None:
        return NO_ANSWER
    gold = final_number(gold_answer)
    return Verdict(float(gold is not None and same_number(gold, number)), number, "ok")


def holds_a_number(gold_answer: str) -> bool:
    """Tell whether a gold answer has a number that equals itself."""
    number = final_number(gold_answer)
    return number is not None and same_number(number, number)


def final_number(text: str) -> str | None:
    """Return the final number of a completion as it is written there; `not 42` does not count."""
    if numbers := _calculated_numbers(last_boxed(text) or ""):
        return numbers[-1]
    for mark in reversed([*MARKS.finditer(text)][-MOST_MARKS:]):
        line = text[mark.end() :][:LONGEST_DECLARED].strip().partition("\n")[0]
        if numbers := _calculated_numbers(line):
            return numbers[0]
    return next(reversed(_calculated_numbers(REMARK.sub(r"\1", text), NUMBER)), None)


def _calculated_numbers(text: str, what: re.Pattern[str] = CALCULATION) -> list[str]:
    """Return the numbers of a text; of a calculation, the part behind its last `=`."""
    matches = (match for match in what.finditer(text) if not is_denied(text, match.start()))
    return [match[0].rpartition("=")[2].strip() for match in matches]


def same_number(gold: str, answer: str) -> bool:
    """Compare two written numbers by value, without currency, separators and percent signs."""
    return equivalent(*(PERCENT.sub("", text) for text in (gold, answer)))
