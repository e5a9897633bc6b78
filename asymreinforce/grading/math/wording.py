r"""Answers in words: names, `no solution`, letters of choices; told from variables and units."""

import re

from asymreinforce.grading.math import structure
from asymreinforce.grading.math.notation import CLOSE, OPEN, words
from asymreinforce.grading.math.units import without_unit

LETTER = re.compile(rf"{OPEN}?\s*\(?\s*([A-J])\s*\)?\s*{CLOSE}?")
OPTION = re.compile(rf"{OPEN}?\s*(?:\(([A-J])\)|([A-J])\s*[).:])\s*{CLOSE}?\s*\S.*", re.DOTALL)
LONG_WORD = re.compile(rf"(?<![A-Za-z\\])[A-Za-z]{{4,}}|{OPEN}[^{CLOSE}]*[A-Za-z]{{2,}}")
LEAD = re.compile(
    rf"^{OPEN}[^{CLOSE}]*(?:\b(?:is|are|about|approximately|equals)|[:=])\s*{CLOSE}\s*(?=\S)"
)
"""Words that lead up to an answer in its box."""
FORMAL = re.compile(r"[-+*/^=<>(),\\_]")
"""Signs with which a text says more than its words."""
NOTHING = "no value"
SYNONYMS = {
    **dict.fromkeys(
        (
            "no solution", "no solutions", "no real solution", "no real solutions", "none",
            "no such", "emptyset", "empty set", "the empty set", "there is no solution",
            "there are no solutions", "no real roots", "no roots",
        ),
        NOTHING,
    ),
    **dict.fromkeys(("dne", "does not exist", "the limit does not exist"), "does not exist"),
    **dict.fromkeys(
        ("all real numbers", "all reals", "mathbb r", "all real", "real numbers"),
        "all reals",
    ),
    **dict.fromkeys(("infinitely many", "infinitely many solutions"), "infinitely many"),
    **dict.fromkeys(("infty", "+ infty", "+infty", "infinite"), "infty"),
}  # fmt: skip


def same_words(gold: str, answer: str) -> bool | None:
    """Compare words: names, `no solution`, letters of choices. None where there are no words."""
    said, other = words(gold), words(answer)
    if said and said == other and not FORMAL.search(gold + answer):
        return True
    meant, other_meant = SYNONYMS.get(said, said), SYNONYMS.get(other, other)
    if meant != said or other_meant != other:
        if meant == other_meant:
            return True
        if {meant, other_meant} & {NOTHING, "does not exist"}:
            return False
    if letter := LETTER.fullmatch(gold):
        chosen = LETTER.fullmatch(answer) or OPTION.fullmatch(answer)
        if chosen:
            return letter[1] == (chosen[1] or chosen[chosen.re.groups])
    if (option := OPTION.fullmatch(gold)) and (letter := LETTER.fullmatch(answer)):
        return letter[1] == (option[1] or option[2])
    if is_prose(gold) or is_prose(answer):
        return said == other if said else False
    return None


def is_prose(text: str) -> bool:
    """Tell whether words stand in a text that are no unit, relation or list of numbers."""
    if not LONG_WORD.search(text) or structure.MATRIX.search(text):
        return False
    if r"\begin" in text or len(structure.split(text, structure.COMMA)) > 1:
        return False
    if structure.chain(text) is not None:
        return False
    return without_unit(text)[1] is None and without_unit(text)[0] == text
