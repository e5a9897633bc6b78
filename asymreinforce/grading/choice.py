"""Multiple choice: which letter a completion settles on."""

import re

from asymreinforce.grading.denial import is_denied
from asymreinforce.grading.extraction import last_boxed, last_tag
from asymreinforce.grading.math.equivalence import equivalent
from asymreinforce.grading.verdict import NO_ANSWER, Verdict

LETTERS = "ABCDEFGHIJ"
LETTER = "[A-J]"
APART = "(?<![A-Za-z0-9_'])"
"""A letter behind a Chinese sign is no part of a word."""
NUMBER = re.compile(r"[0-9]{1,3}(\.0+)?")
"""Of a choice; a column with nulls turns 2 into 2.0."""
ALONE = re.compile(rf"[\s*({{\[]*({LETTER})[\s*)}}\].:,]*", re.IGNORECASE)
OPTION = re.compile(rf"\s*(?:\*\*)?\(?({LETTER})(?:\)|[.:])?(?:\*\*)?(?=$|\s|[^\w']|[^\x00-\x7f])")
DECLARED = re.compile(
    rf"(?:answer|choice|option|réponse|respuesta|antwort|答案|选)[^\n]{{0,60}}?{APART}"
    rf"\(?\**({LETTER})(?=\**\)?(?:$|\s|[^\w'’]))",
    re.IGNORECASE,
)
ANYWHERE = re.compile(rf"{APART}\(?({LETTER})\)?(?=$|[\s.,:;!?)*]|[^\x00-\x7f])")
COMMAND = re.compile(r"\\(?:[A-Za-z]+\*?|[\s,;:!()\[\]])|[{}$`]|\*\*")
"""What LaTeX and Markdown put around an answer."""
ARTICLE = re.compile(r"A(?= [a-z])|I(?='| [a-z])")
"""Words of a sentence that are no letter of a choice."""


def choice(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Compare letters of choices: in the box or tag, declared, at the start, or the last alone.

    The gold answer is a letter, perhaps with its text (`(D) Alina`); a completion that gives the
    text of the gold answer and no letter is right too.
    """
    gold = letter_of(gold_answer)
    for place in (last_boxed(text), last_tag(text)):
        if place:
            letter = letter_of(place)
            if letter is None and gold is not None:
                right = _says_gold_choice(gold_answer, place)
                return Verdict(float(right), place, "ok")
            return Verdict(float(letter is not None and letter == gold), letter or place, "ok")
    letter = letter_of(text)
    return NO_ANSWER if letter is None else Verdict(float(letter == gold), letter, "ok")


def numbered_choice(first: int, metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Compare letters, the gold answer being the number of a choice: `first` is A."""
    return choice(metadata, LETTERS[_number_of_choice(gold_answer) - first], text)


def is_number_of_a_choice(first: int, gold_answer: str) -> bool:
    """Tell whether a gold answer is a number whose letter is A to J."""
    return bool(NUMBER.fullmatch(gold_answer.strip())) and (
        first <= _number_of_choice(gold_answer) < first + len(LETTERS)
    )


def names_a_letter(gold_answer: str) -> bool:
    """Tell whether a gold answer settles on a letter."""
    return letter_of(gold_answer) is not None


def _number_of_choice(gold_answer: str) -> int:
    return int(float(gold_answer))


def letter_of(text: str) -> str | None:
    """Return the letter that a text settles on; None if it names none, or denies those it names."""
    short = _without_commands(text) if len(text) < 200 else text
    if alone := ALONE.fullmatch(short):
        return alone[1].upper()
    declared = [m[1] for m in DECLARED.finditer(text) if m[1].isupper() and not _denied(text, m)]
    if declared:
        return declared[-1]
    first = OPTION.match(short)
    if first and not ARTICLE.match(short.lstrip(" *(")):
        return first[1]
    letters = [
        m[1]
        for m in ANYWHERE.finditer(text)
        if not ARTICLE.match(text, m.start(1)) and not _denied(text, m)
    ]
    return letters[-1] if letters else None


def _denied(text: str, letter: re.Match[str]) -> bool:
    return is_denied(text, letter.start(1))


def _says_gold_choice(gold: str, answer: str) -> bool:
    option = OPTION.match(_without_commands(gold))
    said = _without_commands(gold)[option.end() :] if option else ""
    return bool(said.strip()) and equivalent(said, answer)


def _without_commands(text: str) -> str:
    return COMMAND.sub(" ", text).strip()
