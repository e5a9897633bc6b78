"""Grade multiple choice: find the letter that a completion chooses, and compare it."""

import re

from asymreinforce.grading.extraction import last_boxed, last_tag
from asymreinforce.grading.math.equivalence import equivalent
from asymreinforce.grading.verdict import NO_ANSWER, Verdict
from asymreinforce.grading.written_values import is_denied

LETTERS = "ABCDEFGHIJ"
LETTER = "[A-J]"
# `\b` would not do: a letter right after a Chinese character is no part of a word.
APART = "(?<![A-Za-z0-9_'])"
# A column with nulls turns the choice 2 into 2.0.
NUMBER = re.compile(r"[0-9]{1,3}(\.0+)?")
ALONE = re.compile(rf"[\s*({{\[]*({LETTER})[\s*)}}\].:,]*", re.IGNORECASE)
OPTION = re.compile(rf"\s*(?:\*\*)?\(?({LETTER})(?:\)|[.:])?(?:\*\*)?(?=$|\s|[^\w']|[^\x00-\x7f])")
DECLARED = re.compile(
    rf"(?:answer|choice|option|réponse|respuesta|antwort|答案|选)[^\n]{{0,60}}?{APART}"
    rf"\(?\**({LETTER})(?=\**\)?(?:$|\s|[^\w'’]))",
    re.IGNORECASE,
)
ANYWHERE = re.compile(rf"{APART}\(?({LETTER})\)?(?=$|[\s.,:;!?)*]|[^\x00-\x7f])")
COMMAND = re.compile(r"\\(?:[A-Za-z]+\*?|[\s,;:!()\[\]])|[{}$`]|\*\*")
"""Marks that LaTeX and Markdown put around an answer."""
# "A dog" and "I think" begin with a word, not with a choice.
ARTICLE = re.compile(r"A(?= [a-z])|I(?='| [a-z])")


def choice(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Compare the chosen letter: in the box or tag, declared, at the start, or the last one alone.

    The gold answer is a letter, perhaps with its text (`(D) Alina`). A completion that gives the
    text of the gold answer and no letter is right too.
    """
    gold = letter_of(gold_answer)
    if place := last_boxed(text) or last_tag(text):
        letter = letter_of(place)
        is_text = letter is None and gold is not None and _says_gold_choice(gold_answer, place)
        return Verdict(float(is_text or letter == gold is not None), letter or place, "ok")
    letter = letter_of(text)
    return NO_ANSWER if letter is None else Verdict(float(letter == gold), letter, "ok")


def numbered_choice(first: int, metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Compare letters if the gold answer is the number of a choice; `first` means A."""
    return choice(metadata, LETTERS[int(float(gold_answer)) - first], text)


def is_number_of_a_choice(first: int, gold_answer: str) -> bool:
    """Tell whether a gold answer is the number of a choice A to J."""
    is_number = NUMBER.fullmatch(gold_answer.strip()) is not None
    return is_number and first <= int(float(gold_answer)) < first + len(LETTERS)


def letter_of(text: str) -> str | None:
    """Return the letter that a text chooses; None if it names no letter or denies all of them."""
    short = _without_commands(text) if len(text) < 200 else text
    if alone := ALONE.fullmatch(short):
        return alone[1].upper()
    named = [m for m in DECLARED.finditer(text) if m[1].isupper()]
    if declared := [m[1] for m in named if not is_denied(text, m.start(1))]:
        return declared[-1]
    first = OPTION.match(short)
    if first and not ARTICLE.match(short.lstrip(" *(")):
        return first[1]
    named = [m for m in ANYWHERE.finditer(text) if not ARTICLE.match(text, m.start(1))]
    return next((m[1] for m in reversed(named) if not is_denied(text, m.start(1))), None)


def _says_gold_choice(gold: str, answer: str) -> bool:
    said = _without_commands(gold)
    option = OPTION.match(said)
    behind = said[option.end() :] if option else ""
    return bool(behind.strip()) and equivalent(behind, answer)


def _without_commands(text: str) -> str:
    return COMMAND.sub(" ", text).strip()
