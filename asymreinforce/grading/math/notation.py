r"""Rewrite the many notations of an answer in one canonical notation.

`canonical` maps `\dfrac12`, `½` and `\frac{1}{2}` to the same text, and never changes the meaning.
The content of `\text{...}` is put between `⟦` and `⟧`, which tells units and words from variables.
Answers are untrusted: every pattern here takes time linear in the text.
"""

import re
import unicodedata

OPEN, CLOSE = "⟦", "⟧"
LONGEST = 20_000
"""Characters of the longest answer that is rewritten; a longer answer is compared as text."""

SYMBOLS = {
    sign: written
    for signs, written in (
        ("−–—‒﹣", "-"), ("×✕✖", r"\times "), ("·⋅∙•", r"\cdot "), ("÷⁄∕", "/"), ("‘’′", "'"),
        ("“”″", '"'), ("⟨", r"\langle "), ("⟩", r"\rangle "), ("≤⩽", r"\leq "), ("≥⩾", r"\geq "),
        ("€£¥₹", r"\$"), ("△∆", r"\triangle "), ("或", " or "), ("和与", " and "), ("√", r"\sqrt "),
        ("∞", r"\infty "), ("≠", r"\ne "), ("≈", r"\approx "), ("∪", r"\cup "), ("∩", r"\cap "),
        ("∈", r"\in "), ("∅", r"\emptyset "), ("∖", r"\setminus "), ("±", r"\pm "), ("∓", r"\mp "),
        ("°", r"^\circ "), ("℃", r"^\circ C"), ("ℝ", r"\mathbb{R}"), ("ℤ", r"\mathbb{Z}"),
        ("∠", r"\angle "), ("⌊", r"\lfloor "), ("⌋", r"\rfloor "), ("⌈", r"\lceil "),
        ("⌉", r"\rceil "), ("、，", ","), ("；", ";"), ("：", ":"), ("。", "."), ("µ", r"\mu "),
    )
    for sign in signs
}  # fmt: skip
for letter in map(chr, (*range(0x391, 0x3A2), *range(0x3A3, 0x3CA))):
    described = unicodedata.name(letter)  # GREEK SMALL LETTER ALPHA
    name = described.rpartition(" ")[2]
    SYMBOLS[letter] = f"\\{name.lower() if 'SMALL' in described else name.title()} "
for vulgar in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉":
    above, below = unicodedata.normalize("NFKC", vulgar).split("⁄")
    SYMBOLS[vulgar] = rf" \frac{{{above}}}{{{below}}}"
SYMBOL_TABLE = str.maketrans(SYMBOLS)
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
IDEOGRAMS = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]+")

SPACING = re.compile(
    r"(?<!\\)\\[,;:> ]|~"
    r"|\\(?:q?quad|thinspace|medspace|thickspace|enspace|space|newline|hfill)(?![A-Za-z])"
    r"|\\(?:hspace|vspace|phantom|hphantom)\*?\s*\{[^{}]*\}"
)
NOTHING = re.compile(
    r"\\!\s*|\\(?:displaystyle|textstyle|limits|nolimits|ensuremath|bf|rm|it|sf|tt|bfseries)"
    r"(?![A-Za-z])\s*|\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*\.?"
    r"|(?<=\d)\s*\{\s*,\s*\}\s*(?=\d{3}(?!\d))"
)
"""Commands that only change the look, and the LaTeX comma `{,}` that can only part thousands."""
DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]|(?<!\\)\$|\*\*|`")
COLOUR = re.compile(r"\\(?:text)?color\s*\{[^{}]*\}")
TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt|up|sc)?|mbox|hbox|math(?:rm|bf|it|sf|tt|normal|bfit)|emph"
    r"|operatorname\*?|boldsymbol|bm|underline)\s*\{([^{}]*)\}"
)
FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|sec|csc|cot|log|ln|lg|exp|lim|det|gcd"
FUNCTION = re.compile(rf"(?<![\\A-Za-z{OPEN}])(?:{FUNCTIONS}|sqrt|pi|infty)(?![A-Za-z])")
FUNCTION_NAME = re.compile(rf"(?:{FUNCTIONS}|lcm|arg|Re|Im)")
RENAMED = {
    name: written
    for names, written in (
        ("dfrac tfrac cfrac", r"\frac"), ("dbinom tbinom", r"\binom"), ("le leqslant", r"\leq"),
        ("ge geqslant", r"\geq"), ("neq", r"\ne"), ("lt", "<"), ("gt", ">"), ("lparen", "("),
        ("rparen", ")"), ("lbrack", "["), ("rbrack", "]"), ("lbrace", r"\{"), ("rbrace", r"\}"),
        ("lvert rvert vert mid", "|"), ("ast", "*"), ("div", "/"), ("degree degrees", r"^\circ"),
        ("dots ldots cdots dotsc", "..."), ("simeq thickapprox", r"\approx"), ("colon", ":"),
        ("varphi", r"\phi"), ("varepsilon", r"\epsilon"), ("varnothing", r"\emptyset"),
        ("R reals", r"\mathbb{R}"), ("backslash smallsetminus", r"\setminus"),
        ("pounds euro texteuro yen textdollar dollar", r"\$"),
    )
    for name in names.split()
}  # fmt: skip
COMMAND = re.compile(r"\\([A-Za-z]+)")
DEGREES = re.compile(
    rf"\s*(?:\^\s*\{{?\s*\\circ(?![A-Za-z])\s*\}}?|{OPEN}?\s*\bdegrees?\b(?!\s+(?:of|[CFK]\b))\s*{CLOSE}?)"
)
PERCENT = re.compile(rf"\\%|{OPEN}?\s*\b(?:percent(?:age)?|per cent|pct)\b\.?\s*{CLOSE}?", re.I)
CURRENCY = re.compile(r"\\\$|\bUS\s*\\?\$|\b(?:USD|EUR|GBP|Rs\.?)(?=\s*\d)")
INFIX = re.compile(r"\{([^{}]*)\\(over|choose)(?![A-Za-z])([^{}]*)\}")
FRACTION_DIGITS = re.compile(
    r"\\frac\s*(?:(?P<a>\d)|(?P<A>\{[^{}]*\}))\s*(?:(?P<b>\d)|(?P<B>\{[^{}]*\}|[a-z](?![A-Za-z])))"
)
ROOT = re.compile(
    r"\\sqrt(?:\s+(\d+)|\s*\(([^()]*)\)|\s*(\d|[a-z](?![A-Za-z])))|\\sqrt\s+(?=[\[{(])"
)
DOUBLED = re.compile(r"\\\\(?=[A-Za-z{}%$])")
WORDED_SIGN = re.compile(rf"{OPEN}\s*(,?\s*(?:and|or|,|;))\s*{CLOSE}")
TURNED_OPENING = re.compile(r"(?:^|(?<=\\cup)|(?<=\\in))\s*\](?=[^\[\]]*,)")
TURNED_CLOSING = re.compile(r"(,[^\[\](),]*)\[\s*(?=$|\\cup)")

LONG_WORD = re.compile(r"(?<![{\\A-Za-z])[^\W\d_]{3,}")
HALF_OF_DAY = re.compile(r"(?<=\d)\s*([ap])\.?\s?m(?![a-z])\.?", re.IGNORECASE)
LAST_STOP = re.compile(r"(?<=[A-Za-z])\.\s*$")


def canonical(answer: str) -> str:
    """Return an answer in canonical notation; an answer longer than `LONGEST` stays as it is."""
    text = without_invisible(answer).strip()
    if len(text) > LONGEST:
        return text
    text = unicode_as_latex(" ".join(text.split()))
    # A matrix ends its rows with two backslashes; elsewhere they come from double escaping.
    if DOUBLED.search(text) and (r"\begin" not in text or r"\\begin" in text):
        text = DOUBLED.sub(r"\\", text)
    text = re.sub(r"(?<=[\w)}\]])\*\*(?=[\w({-])", "^", text)
    text = " ".join(
        DELIMITERS.sub(" ", NOTHING.sub("", re.sub(r",\s*\\!\s*", "{,}", text))).split()
    )
    text = COMMAND.sub(lambda name: RENAMED.get(name[1], name[0]), COLOUR.sub("", text))
    text = " ".join(SPACING.sub(" ", text).split())
    text = mark_texts(re.sub(r"\{\s*([,:])\s*\}", r"\1", NOTHING.sub("", text)).replace(r"\"", ""))
    text = re.sub(r"\\\{\s*\\\}", r"\\emptyset ", text)
    text = re.sub(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r"\\times ", text)
    text = re.sub(r"<=|=<", r"\\leq ", text).replace(">=", r"\geq ").replace("!=", r"\ne ")
    text = CURRENCY.sub(" ", PERCENT.sub("%", DEGREES.sub("°", text)))
    text = FUNCTION.sub(r"\\\g<0>", re.sub(r"\binfinity\b", "infty", text))
    text = fractions_and_roots(text)
    # `]1,2[` is another notation of the open interval (1,2).
    text = TURNED_CLOSING.sub(r"\1)", TURNED_OPENING.sub("(", text))
    return strip_ends(re.sub(r"\s+", " ", text))


def without_invisible(text: str) -> str:
    """Drop characters without width (joiners, direction marks); make control characters spaces."""
    if text.isascii() and text.isprintable():
        return text
    kept = []
    for character in text:
        category = unicodedata.category(character)
        # An answer must not forge the marks of text.
        if category == "Cf" or character in (OPEN, CLOSE):
            continue
        kept.append(" " if category in ("Cc", "Zs", "Zl", "Zp") else character)
    return "".join(kept)


def unicode_as_latex(text: str) -> str:
    r"""Write mathematics in Unicode as LaTeX: `½` as `\frac{1}{2}`, `⁴` as `^{4}`, `４` as `4`."""
    if text.isascii():
        return text
    text = RAISED.sub(lambda raised: f"^{{{raised[0].translate(SUPERSCRIPTS)}}}", text)
    text = LOWERED.sub(lambda lowered: f"_{{{lowered[0].translate(SUBSCRIPTS)}}}", text)
    text = unicodedata.normalize("NFKC", text.translate(SYMBOL_TABLE)).translate(SYMBOL_TABLE)
    return IDEOGRAMS.sub(r"\\text{\g<0>}", text)


def mark_texts(text: str) -> str:
    r"""Replace text commands by marks, the innermost first: `\text{ cm}` becomes ` ⟦ cm⟧`."""
    for _ in range(4):
        text, count = TEXT.subn(_marked_text, text)
        if not count:
            break
    return WORDED_SIGN.sub(r" \1 ", text)


def fractions_and_roots(text: str) -> str:
    r"""Add braces to `\frac12` and `\sqrt3`; turn `{5 \choose 2}`, `{1 \over 2}` into commands."""
    if r"\over" in text or r"\choose" in text:
        names = {"over": "frac", "choose": "binom"}
        text = INFIX.sub(
            lambda m: rf"\{names[m[2]]}{{{m[1].strip()}}}{{{m[3].strip()}}}", f"{{{text}}}"
        )
    text = ROOT.sub(
        lambda m: rf"\sqrt{{{m[1] or m[2] or m[3]}}}" if any(m.groups()) else r"\sqrt", text
    )
    return FRACTION_DIGITS.sub(_braced_fraction, text)


def strip_ends(text: str) -> str:
    """Strip the traces of a sentence around an answer: space, quotes, and a stop at the end."""
    while True:
        shorter = re.sub(r"(?<!\.)[.,;:?\\]$", "", text.strip())
        if len(shorter) > 1 and shorter[0] == shorter[-1] == '"':
            shorter = shorter[1:-1]
        if shorter == text:
            return text
        text = shorter


def without_spaces(text: str) -> str:
    """Drop spaces and text marks, but no space between digits; put long words in lower case."""
    bare = re.sub(rf"[{OPEN}{CLOSE}]+", " ", text)
    bare = HALF_OF_DAY.sub(lambda half: f"{half[1].lower()}m", bare)
    bare = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", bare)  # `1 2` is not 12
    # Short words may be variables, whose case counts.
    return LONG_WORD.sub(lambda word: word[0].casefold(), bare)


def _marked_text(command: re.Match[str]) -> str:
    content = command[1]
    if FUNCTION_NAME.fullmatch(content.strip()):
        return rf"\{content.strip()} "
    letters = sum(character.isalpha() for character in content)
    is_variable = letters == 1 and not command[0].startswith((r"\text", r"\mbox", r"\hbox"))
    if not letters or is_variable or OPEN in content:
        return content
    return f"{OPEN}{LAST_STOP.sub('', content)}{CLOSE}"


def _braced_fraction(fraction: re.Match[str]) -> str:
    parts = (fraction["a"] or fraction["A"], fraction["b"] or fraction["B"])
    return r"\frac" + "".join(p if p.startswith("{") else f"{{{p}}}" for p in parts)
