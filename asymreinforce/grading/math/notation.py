r"""One notation for the many ways in which an answer is written down.

`canonical` maps `\dfrac12`, `½` and `\frac{1}{2}` to the same text, and likewise signs, spaces,
delimiters, degrees and currency. It changes how a thing is written, never what it says: it neither
evaluates nor splits. What stood in `\text{...}` comes out between `⟦` and `⟧`, so that units and
words are told from variables.

Answers are untrusted: every pattern here takes time linear in the text.
"""

import re
import unicodedata

OPEN, CLOSE = "⟦", "⟧"
LONGEST = 20_000
"""Characters of an answer that are read; nothing that long is compared but as text."""

SYMBOLS = {
    **dict.fromkeys("−–—‒﹣", "-"),
    **dict.fromkeys("×✕✖", r"\times "),
    **dict.fromkeys("·⋅∙•", r"\cdot "),
    **dict.fromkeys("÷⁄∕", "/"),
    **dict.fromkeys("‘’′", "'"),
    **dict.fromkeys("“”″", '"'),
    **dict.fromkeys("⟨〈", r"\langle "),
    **dict.fromkeys("⟩〉", r"\rangle "),
    "√": r"\sqrt ",
    "∞": r"\infty ",
    "≤": r"\leq ",
    "⩽": r"\leq ",
    "≥": r"\geq ",
    "⩾": r"\geq ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "∖": r"\setminus ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "°": r"^\circ ",
    "ℝ": r"\mathbb{R}",
    "π": r"\pi ",
    "θ": r"\theta ",
    "α": r"\alpha ",
    "β": r"\beta ",
    "γ": r"\gamma ",
    "λ": r"\lambda ",
    "ω": r"\omega ",
    "φ": r"\phi ",
    "∠": r"\angle ",
    "、": ",",
    "，": ",",
    "；": ";",
    "：": ":",
    "。": ".",
    "€": r"\$",
    "£": r"\$",
    "¥": r"\$",
    "₹": r"\$",
}
SYMBOL_TABLE = str.maketrans(SYMBOLS)
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")

SPACING = re.compile(
    r"(?<!\\)\\[,;:> ]|~"
    r"|\\(?:q?quad|thinspace|medspace|thickspace|enspace|space|newline|hfill)(?![A-Za-z])"
    r"|\\(?:hspace|vspace|phantom|hphantom)\*?\s*\{[^{}]*\}"
)
NO_SPACE = re.compile(r"\\!\s*|\\(?:displaystyle|textstyle|limits|nolimits|ensuremath)(?![A-Za-z])")
SIZES = re.compile(r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*\.?")
DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]|(?<!\\)\$|\*\*|`")
COLOUR = re.compile(r"\\(?:text)?color\s*\{[^{}]*\}")
TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt|up|sc)?|mbox|hbox|math(?:rm|bf|it|sf|tt|normal|bfit)|emph"
    r"|operatorname\*?|boldsymbol|bm|underline)\s*\{([^{}]*)\}"
)
FUNCTIONS = (
    "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|sec|csc|cot|log|ln|exp|lim|det|gcd|max|min"
)
FUNCTION = re.compile(rf"(?<![\\A-Za-z{OPEN}])(?:{FUNCTIONS}|sqrt|pi|infty)(?![A-Za-z])")
FUNCTION_NAME = re.compile(rf"(?:{FUNCTIONS}|lcm|arg|Re|Im)")
RENAMED = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), r"\frac"),
    **dict.fromkeys(("dbinom", "tbinom"), r"\binom"),
    **dict.fromkeys(("le", "leqslant"), r"\leq"),
    **dict.fromkeys(("ge", "geqslant"), r"\geq"),
    **dict.fromkeys(("neq",), r"\ne"),
    **dict.fromkeys(("lt",), "<"),
    **dict.fromkeys(("gt",), ">"),
    **dict.fromkeys(("varnothing",), r"\emptyset"),
    **dict.fromkeys(("lbrace",), r"\{"),
    **dict.fromkeys(("rbrace",), r"\}"),
    **dict.fromkeys(("lbrack",), "["),
    **dict.fromkeys(("rbrack",), "]"),
    **dict.fromkeys(("lparen",), "("),
    **dict.fromkeys(("rparen",), ")"),
    **dict.fromkeys(("lvert", "rvert", "vert", "mid"), "|"),
    **dict.fromkeys(("ast",), "*"),
    **dict.fromkeys(("div",), "/"),
    **dict.fromkeys(("degree", "degrees"), r"^\circ"),
    **dict.fromkeys(("dots", "ldots", "cdots", "dotsc"), "..."),
    **dict.fromkeys(("simeq", "thickapprox"), r"\approx"),
    **dict.fromkeys(("colon",), ":"),
    **dict.fromkeys(("varphi",), r"\phi"),
    **dict.fromkeys(("to", "rightarrow"), r"\to"),
    **dict.fromkeys(("R", "reals"), r"\mathbb{R}"),
    **dict.fromkeys(("pounds", "euro", "texteuro", "yen"), r"\$"),
    **dict.fromkeys(("textdollar", "dollar"), r"\$"),
}
COMMAND = re.compile(r"\\([A-Za-z]+)")
DEGREES = re.compile(
    rf"\^\s*\{{?\s*\\circ\s*\}}?|{OPEN}?\s*\bdegrees?\b(?!\s+(?:of|[CFK]\b))\s*{CLOSE}?"
)
PERCENT = re.compile(rf"\\%|{OPEN}?\s*\b(?:percent(?:age)?|per cent|pct)\b\.?\s*{CLOSE}?", re.I)
CURRENCY = re.compile(r"\\\$|\bUS\s*\\?\$|\b(?:USD|EUR|GBP|Rs\.?)(?=\s*\d)")
FRACTION_DIGITS = re.compile(
    r"\\frac\s*(?:(?P<a>\d)|(?P<A>\{[^{}]*\}))\s*(?:(?P<b>\d)|(?P<B>\{[^{}]*\}|[a-z](?![A-Za-z])))"
)
ROOT_DIGITS = re.compile(r"\\sqrt\s+(?=[\{\[(])|\\sqrt\s*(\d|[a-z](?![A-Za-z]))")
ROOT_LITERAL = re.compile(r"\\sqrt\s+(\d+)")
ROOT_PARENTHESIS = re.compile(r"\\sqrt\s*\(([^()]*)\)")
DOUBLED = re.compile(r"\\\\(?=[A-Za-z{}%$])")
WORDED_SIGN = re.compile(rf"{OPEN}\s*(,?\s*(?:and|or|,|;))\s*{CLOSE}")


def canonical(answer: str) -> str:
    """Return an answer in the notation in which two of them are compared.

    Total and pure: any text comes out as some text. Longer than `LONGEST`, it is only stripped.
    """
    text = visible(answer).strip()
    if len(text) > LONGEST:
        return text
    text = symbols(" ".join(text.split()))
    if DOUBLED.search(text) and (r"\begin" not in text or r"\\begin" in text):
        text = DOUBLED.sub(r"\\", text)
    text = re.sub(r"(?<=[\w)}\]])\*\*(?=[\w({-])", "^", text)
    text = re.sub(r",\s*\\!\s*", ",", text)
    text = " ".join(DELIMITERS.sub(" ", NO_SPACE.sub("", text)).split())
    text = COLOUR.sub("", SIZES.sub("", text))
    text = COMMAND.sub(_renamed, text)
    text = " ".join(SPACING.sub(" ", text).split())
    text = texts(re.sub(r"\{\s*([,:])\s*\}", r"\1", text).replace(r"\"", ""))
    text = re.sub(r"\\\{\s*\\\}", r"\\emptyset ", text)
    text = re.sub(r"<=|=<", r"\\leq ", text).replace(">=", r"\geq ").replace("!=", r"\ne ")
    text = CURRENCY.sub(" ", PERCENT.sub("%", DEGREES.sub(" ", text)))
    text = FUNCTION.sub(r"\\\g<0>", re.sub(r"\binfinity\b", "infty", text))
    text = fractions_and_roots(text)
    return ends(re.sub(r"\s+", " ", text))


def visible(text: str) -> str:
    """Drop what has no width (joiners, marks of direction); other control characters are spaces."""
    if text.isascii() and text.isprintable():
        return text
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category == "Cf" or character in (OPEN, CLOSE):
            continue
        kept.append(" " if category in ("Cc", "Zs", "Zl", "Zp") else character)
    return "".join(kept)


def symbols(text: str) -> str:
    r"""Write Unicode's mathematics as LaTeX: `½` as `\frac{1}{2}`, `⁴` as `^{4}`, `４` as `4`."""
    if text.isascii():
        return text
    text = RAISED.sub(lambda raised: f"^{{{raised[0].translate(SUPERSCRIPTS)}}}", text)
    text = LOWERED.sub(lambda lowered: f"_{{{lowered[0].translate(SUBSCRIPTS)}}}", text)
    text = "".join(_vulgar(character) for character in text.translate(SYMBOL_TABLE))
    return unicodedata.normalize("NFKC", text).translate(SYMBOL_TABLE)


def texts(text: str) -> str:
    r"""Take text out of its command, the innermost first: `\text{ cm}` is ` ⟦ cm⟧`."""
    for _ in range(4):
        text, found = TEXT.subn(_marked, text)
        if not found:
            break
    return WORDED_SIGN.sub(r" \1 ", text)


def fractions_and_roots(text: str) -> str:
    r"""Give `\frac12` and `\sqrt3` their braces."""
    if "\\sqrt" in text:
        text = ROOT_LITERAL.sub(r"\\sqrt{\1}", ROOT_PARENTHESIS.sub(r"\\sqrt{\1}", text))
        text = ROOT_DIGITS.sub(lambda m: rf"\sqrt{{{m[1]}}}" if m[1] else r"\sqrt", text)
    return FRACTION_DIGITS.sub(_braced, text) if "\\frac" in text else text


def ends(text: str) -> str:
    """Strip what a sentence leaves around an answer: space, stops, quotes, a lone colon."""
    while True:
        shorter = text.strip(' \t"').rstrip(".,;:?").removesuffix("\\").strip()
        shorter = shorter[1:] if shorter[:1] in (":", ",", ";") else shorter
        if shorter == text:
            return text
        text = shorter


def words(text: str) -> str:
    """Return a canonical text as its words: no case, no marks of text, no punctuation."""
    plain = re.sub(rf"[{OPEN}{CLOSE}{{}}\\\"'!?;_]", " ", re.sub(r"(?<!\d)\.|\.(?!\d)", "", text))
    return " ".join(plain.casefold().split()).strip("() ")


def squeezed(text: str) -> str:
    """Drop space and marks of text, but no space between digits: `4 2` is not 42."""
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", re.sub(rf"[{OPEN}{CLOSE}]+", "", text))


def _renamed(command: re.Match[str]) -> str:
    return RENAMED.get(command[1], command[0])


def _marked(command: re.Match[str]) -> str:
    content = command[1]
    if FUNCTION_NAME.fullmatch(content.strip()):
        return rf"\{content.strip()} "
    letters = sum(character.isalpha() for character in content)
    is_variable = letters == 1 and not command[0].startswith((r"\text", r"\mbox", r"\hbox"))
    if not letters or is_variable or OPEN in content:
        return content
    return f"{OPEN}{content}{CLOSE}"


def _vulgar(character: str) -> str:
    if not unicodedata.decomposition(character).startswith("<fraction>"):
        return character
    above, _, below = unicodedata.normalize("NFKC", character).partition("⁄")
    return rf" \frac{{{above}}}{{{below}}}" if below else character


def _braced(fraction: re.Match[str]) -> str:
    parts = (fraction["a"] or fraction["A"], fraction["b"] or fraction["B"])
    return r"\frac" + "".join(p if p.startswith("{") else f"{{{p}}}" for p in parts)
