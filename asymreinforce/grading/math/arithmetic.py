r"""The exact value of an answer that is a number: fractions, mixed numbers, powers, roots.

    value(r"2 \frac{1}{2}") == Fraction(5, 2)        value("x") is None

Most answers are numbers, and deciding them here is exact, a hundred times cheaper than symbolic
algebra, and bounded: what would take more than `MOST_BITS` raises `TooLarge` before it is computed.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

MOST_BITS = 1 << 20
MOST_DIGITS = 4_000
"""Digits of one literal; Python itself converts at most 4,300."""
MOST_TOKENS = 10_000
MOST_DEPTH = 60
"""Powers of powers."""
CLOSING = {"(": ")", "{": "}", "[": "]"}

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)"
    r"|(?P<command>\\(?:frac|sqrt|binom|times|cdot|pi))(?![A-Za-z])|(?P<name>[A-Za-z])"
    r"|(?P<sign>[-+*/^!(){}\[\]]))"
)


class TooLarge(Exception):  # noqa: N818  (an answer, not a fault)
    """A number that is written shortly and takes more to compute than any answer deserves."""


class NotANumber(Exception):  # noqa: N818
    """The text is not arithmetic on rational numbers with a rational value."""


class Group(NamedTuple):
    """What stood in brackets, reduced; `is_plain` where it was a number without a sign."""

    opening: str
    value: Any
    is_plain: bool


Item = str | Group


class Field(NamedTuple):
    """What numbers are computed with: exact fractions here, floating point in `numeric.py`."""

    literal: Callable[[str], Any]
    named: Callable[[str], Any]
    quotient: Callable[[Any, Any], Any]
    power: Callable[[Any, Any], Any]
    root: Callable[[Any, Any], Any]
    factorial: Callable[[Any], Any]
    binomial: Callable[[Any, Any], Any]
    bounded: Callable[[Any], Any]


def value(text: str) -> Fraction:
    """Evaluate arithmetic in canonical notation; raises `NotANumber` or `TooLarge`."""
    return Fraction(evaluate(text, EXACT))


def evaluate(text: str, field: Field) -> Any:
    """Evaluate arithmetic with the numbers of a field; raises what it raises, and `NotANumber`.

    Brackets are reduced from the inside on a stack of frames, however deep they stand.
    """
    frames: list[tuple[str, list[Item]]] = [("", [])]
    for token in _tokens(text):
        if token in CLOSING:
            frames.append((token, []))
        elif token in (")", "}", "]"):
            opening, items = frames.pop()
            if CLOSING.get(opening) != token:
                raise NotANumber
            frames[-1][1].append(Group(opening, _Flat(items, field).whole(), _is_plain(items)))
        else:
            frames[-1][1].append(token)
    if len(frames) > 1:
        raise NotANumber
    return _Flat(frames[0][1], field).whole()


def _is_plain(items: list[Item]) -> bool:
    return len(items) == 1 and isinstance(items[0], str) and items[0].isdigit()


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        token = TOKEN.match(text, position)
        if token is None:
            raise NotANumber
        if len(tokens) >= MOST_TOKENS:
            raise NotANumber
        # A space between two numbers is no product: `2 1/2` is a mixed number, `4 2` nothing.
        if token["number"] and tokens and (tokens[-1][0].isdigit() or tokens[-1][0] == "."):
            tokens.append("_")
        tokens.append(token["number"] or token["command"] or token["name"] or token["sign"])
        position = token.end()
    return tokens


class _Flat:
    """Arithmetic without brackets left; every value is checked for its size as it is made."""

    def __init__(self, items: list[Item], field: Field) -> None:
        self._items, self._field, self._at, self._depth = items, field, 0, 0

    def whole(self) -> Any:
        total = self._product()
        while (sign := self._peek()) in ("+", "-"):
            self._at += 1
            term = self._product()
            total = self._field.bounded(total + term if sign == "+" else total - term)
        if self._at < len(self._items):
            raise NotANumber
        return total

    def _peek(self) -> Item:
        return self._items[self._at] if self._at < len(self._items) else ""

    def _product(self) -> Any:
        total = self._signed()
        while (item := self._peek()) and item not in ("+", "-"):
            if item in ("*", r"\times", r"\cdot"):
                self._at += 1
                total = self._field.bounded(total * self._signed())
            elif item == "/":
                self._at += 1
                total = self._field.bounded(self._field.quotient(total, self._signed()))
            elif isinstance(item, Group) or item[0].isalpha() or item[0] == "\\":
                total = self._field.bounded(total * self._power())
            else:
                raise NotANumber
        return total

    def _signed(self) -> Any:
        sign = 1
        while self._peek() in ("+", "-"):
            sign = -sign if self._peek() == "-" else sign
            self._at += 1
        return sign * self._power()

    def _power(self) -> Any:
        base = self._mixed()
        while self._peek() == "!":
            self._at += 1
            base = self._field.factorial(base)
        if self._peek() != "^":
            return base
        self._at += 1
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise NotANumber
        exponent = self._signed()
        self._depth -= 1
        return self._field.power(base, exponent)

    def _mixed(self) -> Any:
        r"""`2 \frac{1}{2}` and `2 1/2` are sums; so is nothing else that stands side by side."""
        first = self._peek()
        found = self._atom()
        if not isinstance(first, str) or not first.isdigit():
            return found
        if self._peek() == r"\frac":
            parts = self._items[self._at + 1 : self._at + 3]
            is_mixed = all(isinstance(part, Group) and part.is_plain for part in parts)
            part = self._atom()
            is_mixed = is_mixed and 0 < part.real < 1
            return self._field.bounded(found + part if is_mixed else found * part)
        rest = self._items[self._at : self._at + 4]
        if len(rest) == 4 and rest[0] == "_" and rest[2] == "/":
            above, below = rest[1], rest[3]
            if not (isinstance(above, str) and isinstance(below, str)):
                raise NotANumber
            self._at += 4
            return self._field.bounded(
                found + self._field.quotient(self._field.literal(above), self._field.literal(below))
            )
        return found

    def _atom(self) -> Any:
        item = self._peek()
        self._at += 1
        if isinstance(item, Group):
            return item.value
        if item[:1].isdigit() or item[:1] == ".":
            return self._field.literal(item)
        if item == r"\frac":
            above = self._argument("{")
            return self._field.bounded(self._field.quotient(above, self._argument("{")))
        if item == r"\binom":
            above = self._argument("{")
            return self._field.binomial(above, self._argument("{"))
        if item == r"\sqrt":
            following = self._peek()
            is_given = isinstance(following, Group) and following.opening == "["
            degree = self._argument("[") if is_given else 2
            return self._field.root(self._argument("{"), degree)
        if item == r"\pi" or item.isalpha():
            return self._field.named(item)
        raise NotANumber

    def _argument(self, opening: str) -> Any:
        item = self._peek()
        if not isinstance(item, Group) or item.opening != opening:
            raise NotANumber
        self._at += 1
        return item.value


def literal(token: str) -> Fraction:
    """Read a decimal literal, `1.2e3` among them."""
    mantissa, _, exponent = token.lower().partition("e")
    if len(mantissa) > MOST_DIGITS or len(exponent) > 5:
        raise TooLarge
    return bounded(Fraction(mantissa.rstrip(".")) * power(Fraction(10), Fraction(exponent or 0)))


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """Raise to a power; roots only where they come out."""
    if exponent.denominator != 1:
        return power(root(base, Fraction(exponent.denominator)), Fraction(exponent.numerator))
    if base == 0 and exponent <= 0:
        raise NotANumber
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if base not in (0, 1, -1) and size * abs(exponent) > MOST_BITS:
        raise TooLarge
    return base ** (int(exponent) if base not in (0, 1, -1) else int(exponent) % 2 or 2)


def root(radicand: Fraction, degree: Fraction | int) -> Fraction:
    """Return a root that is rational; raises `NotANumber` for the others."""
    if degree == 1:
        return radicand
    if degree not in (2, 3) or (radicand < 0 and degree == 2):
        raise NotANumber
    sign = -1 if radicand < 0 else 1
    parts = [_integer_root(abs(part), int(degree)) for part in radicand.as_integer_ratio()]
    return sign * Fraction(parts[0], parts[1])


def factorial(of: Fraction) -> Fraction:
    """Return n!, as far as it is not too large."""
    if of.denominator != 1 or of < 0:
        raise NotANumber
    if of > 20_000:
        raise TooLarge
    return Fraction(math.factorial(int(of)))


def binomial(above: Fraction, below: Fraction) -> Fraction:
    """Return "above choose below" for natural numbers."""
    if above.denominator != 1 or below.denominator != 1 or above < 0 or below < 0:
        raise NotANumber
    if above > 10_000:
        raise TooLarge
    return Fraction(math.comb(int(above), int(below)))


def bounded(found: Fraction) -> Fraction:
    """Pass a value on where it is not too large to compute with."""
    if max(found.numerator.bit_length(), found.denominator.bit_length()) > MOST_BITS:
        raise TooLarge
    return found


def quotient(above: Fraction, below: Fraction) -> Fraction:
    """Divide; raises `NotANumber` for a division by zero."""
    if below == 0:
        raise NotANumber
    return above / below


def _integer_root(of: int, degree: int) -> int:
    if of.bit_length() > 4_096:
        raise NotANumber
    found = math.isqrt(of) if degree == 2 else round(of ** (1 / 3)) if of < 1 << 150 else 0
    if found**degree != of:
        raise NotANumber
    return found


def _unnamed(name: str) -> Fraction:
    raise NotANumber


EXACT = Field(literal, _unnamed, quotient, power, root, factorial, binomial, bounded)
