r"""Compare answers in words (names, `no solution`, letters of choices), not variables or units."""

import re

from asymreinforce.grading.math.notation import CLOSE, OPEN, without_spaces

LEAD = re.compile(
    rf"^{OPEN}[^{CLOSE}]*(?:\b(?:is|are|about|approximately|equals)|[:=])\s*{CLOSE}\s*(?=\S)"
)
OPTION = re.compile(
    rf"{OPEN}?\s*(?:\(\s*([A-J])\s*\)|([A-J])\s*[).:]|([A-J])(?=\s*{CLOSE}?$))\s*{CLOSE}?(?:\s+(.*))?",
    re.DOTALL,
)
SENTENCE = re.compile(rf"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}")
WORDS = re.compile(r"[^\W\d_]{2,}(?:[\s',.-]+[^\W\d_]+)*\.?")
NAME = re.compile(r"[A-Za-z]{1,3}")
"""Letters that may also be a product of variables."""
MEANINGS = {
    r"\emptyset": "nosolution nosolutions norealsolution norealsolutions none emptyset theemptyset "
    "thereisnosolution therearenosolutions norealroots noroots",
    r"\mathbb{R}": "allrealnumbers allreals allreal realnumbers",
    "doesnotexist": "dne thelimitdoesnotexist",
    "no": "No",
    "infinitelymany": "infinitelymanysolutions",
    r"\infty": r"infinite infinity infty +\infty",
}
MEANING = {name: said for said, names in MEANINGS.items() for name in names.split()}


def plain_meaning(text: str) -> str:
    r"""Drop the words that lead up to an answer, and write `no solution` as `\emptyset`."""
    text = LEAD.sub("", text)
    if SENTENCE.fullmatch(text) and any(character.isdigit() for character in text):
        text = text[1:-1].strip()
    return MEANING.get(without_spaces(text).replace("{", "").replace("}", ""), text)


def same_choice(gold: str, answer: str) -> bool | None:
    """Compare the letters of two choices; None unless both texts have a letter."""
    one, other = OPTION.fullmatch(gold), OPTION.fullmatch(answer)
    return (
        (one[1] or one[2] or one[3]) == (other[1] or other[2] or other[3])
        if one and other
        else None
    )


def without_letter(text: str) -> str | None:
    """Return the text behind the letter of a choice, `42` in `(A) 42`; None if there is none."""
    option = OPTION.fullmatch(text)
    return (option[4] or None) if option else None


def as_words(text: str) -> str | None:
    """Return a text of words alone without case, spaces and stops; None for other texts."""
    bare = re.sub(rf"[{OPEN}{CLOSE}{{}}]", " ", text).strip()
    is_marked = OPEN in text
    if not WORDS.fullmatch(bare) or (NAME.fullmatch(bare) and not is_marked):
        return None
    return without_spaces(bare).rstrip(".")
