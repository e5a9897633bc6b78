"""Units of measure behind a number: told from variables, and from each other.

    without_unit("15 ⟦cm⟧^{2}") == ("15", "cm")        without_unit("3 x") == ("3 x", None)

An answer may leave the unit out or write it in another way; two known units that differ are two
different answers.
"""

import re

from asymreinforce.grading.math.notation import CLOSE, OPEN

NAMES = {
    "m": "m meter metre",
    "cm": "cm centimeter centimetre",
    "mm": "mm millimeter millimetre",
    "km": "km kilometer kilometre",
    "inch": "in inch inche",
    "foot": "ft foot feet",
    "yard": "yd yard",
    "mile": "mi mile",
    "g": "g gm gram",
    "kg": "kg kilogram kilo",
    "mg": "mg milligram",
    "pound": "lb pound",
    "ounce": "oz ounce",
    "ton": "ton tonne",
    "second": "s sec second",
    "minute": "min minute",
    "hour": "h hr hour",
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "yr year",
    "liter": "l liter litre",
    "ml": "ml milliliter millilitre",
    "gallon": "gal gallon",
    "dollar": "dollar usd buck",
    "cent": "cent",
    "yuan": "yuan rmb",
    "euro": "euro eur",
    "rupee": "rupee",
    "radian": "rad radian",
    "mph": "mph",
    "km/h": "kmh kph km/h km/hr",
    "m/s": "m/s",
    "unit": "unit",
}
KNOWN = {name: unit for unit, names in NAMES.items() for name in names.split()}
SINGLE = {"m", "g", "s", "h", "l"}
EXPONENT = r"(?:\s*\^\s*(?:\{\s*-?\d+\s*\}|-?\d))?"
MARKED = re.compile(
    rf"(?P<head>[^{OPEN}]*[^{OPEN}\s])\s*"
    rf"(?P<unit>(?:[/*]?\s*(?:\\cdot\s*)?{OPEN}[^{CLOSE}]*{CLOSE}{EXPONENT}\s*)+)"
)
WORD = re.compile(rf"(?P<word>[A-Za-z]+(?:/[A-Za-z]+)*){EXPONENT}\.?")
MAGNITUDE = re.compile(
    rf"(?P<head>.*\d)\s*{OPEN}?\s*(?P<word>thousand|million|billion|trillion)\b(?P<rest>.*)"
)
ZEROS = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
ORDINAL = re.compile(rf"(\d)\s*\^?\s*\{{?\s*{OPEN}?\s*(?:st|nd|rd|th)\s*{CLOSE}?\s*\}}?")
TELLING = {"am", "pm", "no", "none", "mod", "or", "and", "not", "but"}
"""Words behind a number that belong to the answer."""


def without_unit(text: str, *, bare_letters: bool = False) -> tuple[str, str | None]:
    """Cut the unit off a canonical text; `bare_letters` takes `5 m` for five metres."""
    if ORDINAL.fullmatch(text[-12:].lstrip("0123456789")) or ORDINAL.search(text[-14:]):
        text = ORDINAL.sub(r"\1", text)
    if found := MAGNITUDE.fullmatch(text.lower()):
        head, rest = text[: found.end("head")], text[found.end("word") :].replace(CLOSE, "", 1)
        return rf"{head} \cdot 10^{{{ZEROS[found['word']]}}}", known(rest)
    if found := MARKED.fullmatch(text):
        words = re.sub(r"[^a-z/ ]", " ", found["unit"].casefold().replace(".", "")).split()
        is_unit = words and not TELLING & set(words) and not re.search(r"⟦[^⟧]*\d", found["unit"])
        if is_unit and re.search(r"[\d})%]|\\pi$", found["head"][-4:]):
            return found["head"], known(found["unit"])
        return text, None
    return _bare(text, bare_letters=bare_letters)


def known(unit: str) -> str | None:
    """Name a unit of measure, however it is written; None for one that the table lacks."""
    plain = re.sub(r"\^\s*\{?\s*-?\d+\s*\}?|[^a-z/ ]", " ", unit.casefold())
    words = [word for word in plain.split() if word not in ("square", "sq", "cubic", "cu")]
    if not words:
        return None
    joined = "".join(words)
    for name in (joined, words[0] if len(words) == 1 else joined):
        for form in (name, name.removesuffix("s"), name.removesuffix("es")):
            if form in KNOWN:
                return KNOWN[form]
    return None


def _bare(text: str, *, bare_letters: bool) -> tuple[str, str | None]:
    if len(text) > 300 or not (text[-1:].isalpha() or text[-1:] in "}.23"):
        return text, None
    tokens = re.sub(r"(?<=\d)(?=[A-Za-z])", " ", text).split(" ")
    count = 0
    while count < len(tokens) - 1 and WORD.fullmatch(tokens[-1 - count]):
        count += 1
    if not count:
        return text, None
    head, words = " ".join(tokens[:-count]), tokens[-count:]
    first = WORD.fullmatch(words[0])
    if first is None or head[-1:] not in "0123456789})%" or not head:
        return text, None
    word = first["word"].casefold()
    if word in TELLING or any(other.casefold().strip(".") in TELLING for other in words):
        return text, None
    is_unit = (known(word) is not None and len(word) > 1) or len(word) > 3
    is_unit |= bare_letters and word in SINGLE
    return (head, known(" ".join(words))) if is_unit else (text, None)
