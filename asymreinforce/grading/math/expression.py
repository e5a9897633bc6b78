r"""Evaluate arithmetic in canonical notation with given values for letters.

    evaluate(r"2 \frac{1}{2}", named) == Fraction(5, 2)        evaluate("2x", {"x": 3}.get) == 6

Brackets are reduced from the inside as they close, in time linear in the length of the text.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from asymreinforce.grading.math import notation
from asymreinforce.grading.math.arithmetic import (
    NotANumber,
    Number,
    apply_function,
    binomial,
    factorial,
    over,
    plus,
    power,
    read_literal,
    root,
    times,
)

MOST_TOKENS = 10_000
MOST_DEPTH = 60
"""Nesting of powers, and of functions without brackets, which are read by recursion."""
CLOSING = {"(": ")", "{": "}", "[": "]", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", "|": "|"}
READ_AS = {r"\lfloor": "floor", r"\lceil": "ceil", "|": "abs"}
PRODUCT = (r"\times", r"\cdot")
FUNCTIONS = frozenset(notation.FUNCTIONS.split("|")) - {"lim", "det", "gcd"}
GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|rho|sigma|tau|upsilon"
    "|phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega|ell|hbar|pi"
)
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    rf"|(?P<name>(?:[A-Za-z]|\\(?:{GREEK})(?![A-Za-z])"
    r"|\\(?:vec|hat|bar|tilde|overline|overrightarrow)\s*\{\s*[A-Za-z]+\s*\})"
    r"(?:_(?:[A-Za-z\d]|\{[^{}]*\}))?'*)"
    r"|(?P<command>\\[A-Za-z]+)|(?P<sign>[-+*/^_!°|(){}\[\]]))"
)


class Reduced(NamedTuple):
    """The value of a bracket; `is_plain` if the bracket held a number without a sign."""

    opening: str
    value: Any
    is_plain: bool


class OpenBracket(NamedTuple):
    """An open bracket and its items so far."""

    opening: str
    items: list[Any]
    is_argument: bool
    """Whether the bracket is in the argument of a function: a degree sign is then an angle."""


def evaluate(text: str, named: Callable[[str], Number]) -> Number:
    """Evaluate arithmetic; raises `NotANumber`, `TooLarge`, and the errors of `named`."""
    frames = [OpenBracket("", [], is_argument=False)]
    for token in _read_tokens(text):
        frame = frames[-1]
        last = frame.items[-1] if frame.items else "+"
        # A `|` closes if another is open and a value comes before it: `||x|-1|`.
        if token in CLOSING and not (token == "|" == frame.opening and _ends_a_value(last)):
            frames.append(OpenBracket(token, [], _is_function(last) or frame.is_argument))
        elif CLOSING.get(frame.opening) == token:
            value, opening = _Flat(frame, named).read_sum(), frame.opening
            if opening in READ_AS:
                value, opening = apply_function(READ_AS[opening], value), "("
            is_plain = isinstance(last, str) and last.isdigit() and len(frame.items) == 1
            frames.pop()
            frames[-1].items.append(Reduced(opening, value, is_plain))
        else:
            frame.items.append(token)
    if len(frames) > 1:
        raise NotANumber
    return _Flat(frames[0], named).read_sum()


def _is_function(item: Any) -> bool:
    return isinstance(item, str) and item[1:] in FUNCTIONS


def _ends_a_value(item: Any) -> bool:
    return isinstance(item, Reduced) or item[-1:].isalnum() or item[-1:] in ".!°}'"


def _read_tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        token = TOKEN.match(text, position)
        if token is None or len(tokens) >= MOST_TOKENS:
            raise NotANumber
        # A space between two numbers is no product: `2 1/2` is a mixed number, `4 2` has no value.
        if token["number"] and tokens and (tokens[-1][0].isdigit() or tokens[-1][0] == "."):
            tokens.append("~")
        tokens.append(token[0].strip())
        position = token.end()
    return tokens


class _Flat:
    """Arithmetic without brackets left; every value is checked for its size as it is made."""

    def __init__(self, frame: OpenBracket, named: Callable[[str], Number]) -> None:
        self._items, self._named, self._at, self._depth = frame.items, named, 0, 0
        self._in_argument = frame.is_argument

    def read_sum(self) -> Any:
        total = self._read_product()
        while sign := self._take("+", "-"):
            term = self._read_product()
            total = plus(total, term if sign == "+" else -term)
        if self._at < len(self._items):
            raise NotANumber
        return total

    def _peek(self) -> Any:
        return self._items[self._at] if self._at < len(self._items) else ""

    def _take(self, *signs: str) -> Any:
        """Consume and return the next item if it is one of `signs`, else return an empty text."""
        item = self._peek()
        self._at += item in signs
        return item if item in signs else ""

    def _read_product(self) -> Any:
        total = self._read_signed()
        while (item := self._peek()) and item not in ("+", "-"):
            if self._take("*", *PRODUCT):
                total = times(total, self._read_signed())
            elif self._take("/"):
                total = over(total, self._read_signed())
            elif isinstance(item, Reduced) or item[0].isalpha() or item[0] == "\\":
                total = times(total, self._read_power())
            elif item == "~" and self._items[self._at - 2] == "^":
                self._at += 1
                total = times(total, self._read_power())
            else:
                raise NotANumber
        return total

    def _read_signed(self) -> Any:
        sign = 1
        while taken := self._take("+", "-"):
            sign = -sign if taken == "-" else sign
        return sign * self._read_power()

    def _read_power(self) -> Any:
        base = self._read_mixed()
        while mark := self._take("!", "°"):
            if mark == "!":
                base = factorial(base)
            elif self._in_argument:  # elsewhere `30°` is the number 30
                base = times(base, over(self._named(r"\pi"), Fraction(180)))
        return power(base, self._read_nested(self._read_signed)) if self._take("^") else base

    def _read_nested(self, read: Callable[[], Any]) -> Any:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise NotANumber
        value = read()
        self._depth -= 1
        return value

    def _read_mixed(self) -> Any:
        r"""Read a mixed number: `2 \frac{1}{2}` and `2 1/2` are sums, other neighbours products."""
        first = self._peek()
        whole = self._read_atom()
        rest = self._items[self._at : self._at + 4]
        if not rest or not isinstance(first, str) or not first.isdigit():
            return whole
        if rest[0] == r"\frac":
            is_mixed = all(isinstance(part, Reduced) and part.is_plain for part in rest[1:3])
            part = self._read_atom()
            return (plus if is_mixed and 0 < part.real < 1 else times)(whole, part)
        if rest[0] == "~" and rest[2:3] == ["/"] and all(isinstance(part, str) for part in rest):
            self._at += 4
            return plus(whole, over(*map(read_literal, rest[1::2])))
        return whole

    def _read_atom(self) -> Any:
        item = self._peek()
        self._at += 1
        if isinstance(item, Reduced):
            return item.value
        if item[:1].isdigit() or item[:1] == ".":
            return read_literal(item)
        if item in (r"\frac", r"\binom"):
            above = self._read_bracket("{")
            return (over if item == r"\frac" else binomial)(above, self._read_bracket("{"))
        if item == r"\sqrt":
            following = self._peek()
            is_given = isinstance(following, Reduced) and following.opening == "["
            degree = self._read_bracket("[") if is_given else Fraction(2)
            return root(self._read_bracket("{"), degree)
        if _is_function(item):
            return self._read_nested(lambda: self._read_function(item[1:]))
        name = TOKEN.match(item)
        if name is None or not name["name"]:
            raise NotANumber
        return self._named(re.sub(r"[{}\s]", "", item))

    def _read_function(self, name: str) -> Any:
        r"""Apply a function: `\log_2 8`, `\sin^2 x`, `\sin^{-1} x`, `\cos 2x`, `\ln(x)`."""
        base = self._read_atom() if self._take("_") else None
        exponent = None
        if self._take("^"):
            exponent = self._read_signed() if self._peek() == "-" else self._read_atom()
        self._take("~")
        if isinstance(self._peek(), Reduced):
            argument = self._read_atom()
        else:
            outside, self._in_argument = self._in_argument, True
            argument = self._read_signed()
            # An argument without brackets goes on: `\sin 2x`, not `\sin x \cos y`.
            while isinstance(item := self._peek(), str) and not _is_function(item):
                if not item[:1].isalpha() and (item[:1] != "\\" or item in PRODUCT):
                    break
                argument = times(argument, self._read_power())
            self._in_argument = outside
        if exponent == -1:  # by convention the inverse function, not the reciprocal
            return apply_function(f"arc{name}", argument, base)
        value = apply_function(name, argument, base)
        return value if exponent is None else power(value, exponent)

    def _read_bracket(self, opening: str) -> Any:
        item = self._peek()
        if not isinstance(item, Reduced) or item.opening != opening:
            raise NotANumber
        self._at += 1
        return item.value
