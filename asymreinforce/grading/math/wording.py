r"""The words of an answer: names, `no solution`, letters of choices, and units behind a number.

without_unit("15 ⟦cm⟧^{2}") == ("15", "cm")        without_unit("3 x") == ("3 x", None)
"""

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

UNITS = {
    "m": "m meter metre", "cm": "cm centimeter centimetre", "mm": "mm millimeter millimetre",
    "km": "km kilometer kilometre", "inch": "in inch inche", "foot": "ft foot feet",
    "yard": "yd yard", "mile": "mi mile", "g": "g gm gram", "kg": "kg kilogram kilo",
    "mg": "mg milligram", "pound": "lb pound", "ounce": "oz ounce", "ton": "ton tonne",
    "s": "s sec second", "minute": "min minute", "h": "h hr hour", "day": "day", "week": "week",
    "month": "month", "year": "yr year", "liter": "l liter litre", "gallon": "gal gallon",
    "ml": "ml milliliter millilitre", "dollar": "dollar usd buck", "cent": "cent",
    "yuan": "yuan rmb 元", "euro": "euro eur", "radian": "rad radian", "unit": "unit",
    "mile/h": "mph mile/h", "km/h": "kmh kph km/h",
}  # fmt: skip
KNOWN = {name: unit for unit, names in UNITS.items() for name in names.split()}
# A single letter may be a variable, so it is a unit only if `bare_letters` says so.
SINGLE = set("mgshlLNJWVACK")
MAGNITUDES = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12, "百": 10**2, "千": 10**3, "万": 10**4, "亿": 10**8,
}  # fmt: skip
TELLING = {
    *("a.m", "p.m", "am", "pm", "no", "none", "not", "mod", "or", "and", "but", "is", "are", "was"),
    *("more", "less", "least", "most", "than", "over", "under", "minus", "plus", "times", "wrong"),
    *("half", "third", "thirds", "quarter", "quarters", "tenth", "tenths", "hundredth", "squared"),
    *("hundredths", "thousandth", "thousandths", "cubed", "factorial", "remainder", "r", "if"),
    *("when", "for", "to", "through", "between", "percent", *MAGNITUDES),
}
"""Words behind a number that change its meaning, so that they are no unit."""
EXPONENT = r"(?:\s*\^\s*(?:\{\s*-?\d+\s*\}|-?\d))?"
SPELT = re.compile(
    rf"(?:[^\W\d_][.']?{EXPONENT}-?|[\s/*{OPEN}{CLOSE}]{EXPONENT}|\\(?:cdot|Omega|mu))+"
)
UNIT_WORDS = rf"(?:{OPEN}[^{CLOSE}]*{CLOSE}|\\Omega){EXPONENT}"
MARKED = re.compile(
    rf"(?P<head>[^{OPEN}]*?(?:[\d)}}%°\]]|\\pi))\s*(?:\\cdot\s*)?"
    rf"(?P<unit>{UNIT_WORDS}(?:\s*(?:/|\\cdot|\*)?\s*{UNIT_WORDS})*)"
)
BARE = re.compile(
    rf"(?P<head>.*?[\d)}}%°])\s*(?P<unit>[A-Za-z][A-Za-z.]*{EXPONENT}"
    rf"(?:(?:\s+|\s*/\s*)[A-Za-z][A-Za-z.]*{EXPONENT})*)"
)
MAGNITUDE = re.compile(
    rf"(?P<head>.*\d)\s*{OPEN}?\s*(?P<word>{'|'.join(MAGNITUDES)})(?![a-z])(?P<rest>.*)"
)
ANGLE = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
ORDINAL = re.compile(rf"(-?\d+)\s*\^?\s*\{{?\s*{OPEN}?\s*(?:st|nd|rd|th)\s*{CLOSE}?\s*\}}?")


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


def without_unit(text: str, *, bare_letters: bool = False) -> tuple[str, str | None]:
    """Split a canonical text into value and unit; `bare_letters` reads `5 m` as five metres."""
    if ordinal := ORDINAL.fullmatch(text):
        return ordinal[1], None
    # `3 million dollars`: the first word is part of the number, the second a unit.
    if match := MAGNITUDE.fullmatch(text.lower()):
        head, rest = text[: match.end("head")], text[match.end("word") :].replace(CLOSE, "", 1)
        return rf"{head} \cdot {MAGNITUDES[match['word']]}", known_unit(rest)
    if len(text) > 300:
        return text, None
    # In `sin 30°` the degree sign changes the value, elsewhere it is a unit.
    if text.endswith("°") and not ANGLE.search(text):
        return text[:-1].strip(), "degree"
    for pattern in (MARKED, BARE):
        match = pattern.fullmatch(text)
        if match and _is_unit(*match.groups(), is_marked=pattern is MARKED, bare=bare_letters):
            return match["head"].strip(), known_unit(match["unit"])
    return text, None


def known_unit(unit: str) -> str | None:
    """Return the name of a unit of measure in any spelling; None if the table lacks the unit."""
    names = []
    for word in _unit_words(unit):
        if word not in ("square", "sq", "cubic", "cu", "per"):
            forms = (word, word.removesuffix("s"), word.removesuffix("es"))
            names.append(next((KNOWN[form] for form in forms if form in KNOWN), word))
    joined = KNOWN.get("/".join(names), "/".join(names))
    return joined if joined in UNITS or all(part in UNITS for part in joined.split("/")) else None


def _unit_words(unit: str) -> list[str]:
    plain = re.sub(r"\^\s*\{?\s*-?\d+\s*\}?|\\cdot|[^\w.\\]|_", " ", unit.casefold())
    return [word.strip(".") for word in plain.split()]


def _is_unit(head: str, unit: str, *, is_marked: bool, bare: bool) -> bool:
    words = _unit_words(unit)
    if not words or TELLING & set(words) or not SPELT.fullmatch(unit):
        return False
    if head.endswith("°"):
        return len(words) == 1 and words[0] in ("c", "f", "k", "celsius", "fahrenheit")
    if is_marked:
        return True
    if len(words) == 1 and len(words[0]) == 1:
        return bare and re.sub(EXPONENT, "", unit).strip() in SINGLE
    # The table lacks most things that are counted (`5 apples`); a long word is no variable.
    return known_unit(unit) is not None or any(len(word) > 3 for word in words)
