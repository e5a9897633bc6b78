"""Patterns of a mathematical value in a text: a formula, a number, or a few words.

`is_bare` recognizes a text that is nothing but such a value. `is_denied` recognizes a value that
the words before it deny.
"""

import re

FORMULA = re.compile(
    r"(?<!\\)\$\$(?P<dd>(?:[^$\\]|\\.|\$(?!\$))+)\$\$|\\\[(?P<b>(?:[^\\]|\\(?![\[\]]))+)\\\]"
    r"|(?<![\\\d$])\$(?P<d>(?:[^$\\\n]|\\[^\n])+)\$|\\\((?P<p>(?:[^\\\n]|\\(?![()]))+)\\\)",
    re.DOTALL,
)
NUMBER = re.compile(
    r"(?<![A-Za-z\d_^{}\\])(?<![A-Za-z\d][.,])[-−–]?(?:\\?[$€£¥₹]\s*)?"
    r"(?:\d{1,3}(?:[, ]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)"
    r"(?:\s*(?:\\times|\\cdot|[×*x])\s*10\s*\^\s*\{?[-−]?\d+\}?)?(?:\s*/\s*\d+(?!\d|\.\d))?"
    r"(?:(?::|\s+:\s+)\d+)?(?:\s*(?:\\?%|percent(?:age)?\b|pct\b))?"
)
ATOM = r"(?:sqrt|pi|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])|\d+(?:\.\d+)?|[√π()])"
TERM = rf"(?:{ATOM}|\^-?)+"
EXPRESSION = rf"(?<![\w\\])-?(?=\S{{0,40}}(?:\^|sqrt\(|[a-z]\()){TERM}(?: ?[-+*/=] ?{TERM})*"
"""An expression written without LaTeX, such as 3*sqrt(2) or n(n+1)/2."""
PLAIN_VALUE = re.compile(
    rf"{EXPRESSION}|[(\[][^()\[\]\n]*[\d∞][^()\[\]\n]*,[^()\[\]\n]*[)\]]"  # a tuple or an interval
    rf"|(?:{NUMBER.pattern}|-)?\s*(?:√\s*(?:\d+|\([^()\n]*\))|π)(?:\s*/\s*\d+)?|{NUMBER.pattern}"
    r"|-?\\[dt]?frac\s*\{[^{}]*\}\s*\{[^{}]*\}"
)
"""A value in a text without formulas."""
WORD = re.compile(r"(?<![\\A-Za-z])[^\W\d_][^\W\d_']+")
LONGEST_BARE = 400
"""Characters of the longest text that can be nothing but an answer."""
# In Japanese, Chinese and Korean a sentence goes on behind a number without a space.
UNSPACED_WORDS = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]{2}")
WORDED_REMARK = re.compile(r"\d \([A-Za-z]{2}[^()]*\)")
EQUATION = re.compile(r"[A-Za-z](?:\([a-z]\))?\s*=")
CONTRAST = {"not", "but", "because", "since", "so", "instead"}
MOST_WORDS = 3
"""Words of the longest answer in words: `no real roots`, `60 miles per hour`."""
DENIED = re.compile(
    r"(?:\b(?:not|never|cannot|neither|nor|than|anything but)|n['’]t)\b"
    r"(?:[ \t*$\"(\\\[]|\b(?:be|been|equal|to|that|the|true|correct|case|think|believe|it|it's|is"
    r"|final|exactly|necessarily|definitely)\b)*$"
)
"""The words before a denied value: `not 42`, `isn't equal to 42`, `less than 42`."""
BOUND = re.compile(
    r"(?:between|from(?= \S+ to )|at (?:least|most)|over|under|above|below|up to)\W{1,4}(?=\d)",
    re.IGNORECASE,
)
"""The first words of a text that bounds an answer and does not give one."""
OR = r"\s*(?:[^\W\d_]+\s*)?,?\s*n?or\s+(?:[^\W\d_]+\s+){0,2}"
ALTERNATIVE = re.compile(rf"{OR}(?=[-$\\\d.])")
JOINED = re.compile(rf"{OR}|\s*,?\s*and\s+")
"""The words between two values that together are one answer."""
LONGEST_DENIAL = 80


def is_value(text: str) -> bool:
    """Tell a value from a remark in brackets, which has words."""
    return not WORD.search(text) or text[0] not in "(["


def formula_content(formula: re.Match[str]) -> str:
    """Return the text between the marks of a formula."""
    return next(part for part in formula.groups() if part is not None).strip()


def is_bare(text: str) -> bool:
    r"""Tell whether a text is nothing but an answer: `x = 3`, `\frac{1}{2}`, `10 units`."""
    bare = text.strip().strip("*`")
    if not bare or len(bare) > LONGEST_BARE or ("\n" in bare and r"\begin" not in bare):
        return False
    if FORMULA.fullmatch(bare):
        return True
    if UNSPACED_WORDS.search(bare) or WORDED_REMARK.search(bare):
        return False
    inside = re.sub(r"\\(?:text\w*|mbox|mathrm)\s*\{[^{}]*\}|\\[a-zA-Z]+|\b(?:and|or)\b", " ", bare)
    said = WORD.findall(inside)
    if not said:
        return True
    if CONTRAST & {word.casefold() for word in said}:
        return False
    if not re.search(r"\d", bare):
        return len(said) == 1
    if EQUATION.match(bare) and len(said) == 1:
        return True
    if len(said) == MOST_WORDS and len(NUMBER.findall(bare)) > 1:
        return False
    return len(said) <= MOST_WORDS and bool(re.match(r"[-+\d\\$(.]", bare))


def is_denied(text: str, start: int) -> bool:
    """Tell whether the words before `start` deny the value that begins there."""
    return DENIED.search(text, max(0, start - LONGEST_DENIAL), start) is not None
