r"""The value of an expression at a point, in floating point: what tells most wrong answers apart.

    differ("x^2-4", "x^2+4")        not differ("x^2-4", "(x-2)(x+2)")

Two expressions that differ at a point are different; that they agree proves nothing, and algebra
has the word. Parsing LaTeX by a grammar takes milliseconds, this a few microseconds.
"""

import cmath
import math
from typing import NamedTuple

from asymreinforce.grading.math.arithmetic import Field, NotANumber, TooLarge, evaluate

POINTS = (0.7310585786, 1.3719886811)
TOLERANCE = 1e-5
"""Coarser than the six decimals to which expressions count as equal: this may only tell apart."""
ROUNDING = 1e-9
"""Of the largest value met: what differences of it may be wrong by, generously."""


class Value(NamedTuple):
    """A value, and the largest that was met on the way: what was cancelled is not exact."""

    value: complex
    largest: float


def differ(gold: str, answer: str) -> bool:
    """Tell whether two canonical texts are expressions with different values at some point."""
    for point in POINTS:
        here, there = at(gold, point), at(answer, point)
        if here is None or there is None:
            return False
        size = 1 + min(abs(here.value), abs(there.value))
        noise = ROUNDING * max(here.largest, there.largest)
        if abs(here.value - there.value) > TOLERANCE * size + noise:
            return True
    return False


def at(text: str, point: float) -> Value | None:
    """Evaluate where each letter has a positive value of its own; None where it is not plain."""
    largest = 0.0

    def watched(value: complex) -> complex:
        nonlocal largest
        largest = max(largest, abs(value))
        return value

    def named(name: str) -> complex:
        constants = {r"\pi": math.pi, "e": math.e, "i": 1j}
        return constants.get(name, point + 0.37 * (ord(name[-1]) % 17) / 17)

    field = Field(
        literal=lambda token: float(token.rstrip(".")),
        named=named,
        quotient=lambda above, below: above / below,
        power=lambda base, exponent: watched(_power(base, exponent)),
        root=_root,
        factorial=_refused,
        binomial=_refused,
        bounded=watched,
    )
    try:
        found = complex(evaluate(text, field))
    except (NotANumber, TooLarge, ArithmeticError, ValueError):
        return None
    return Value(found, largest) if cmath.isfinite(found) and largest < math.inf else None


def _power(base: complex, exponent: complex) -> complex:
    if _is_negative(base) and exponent != int(exponent.real):
        raise NotANumber  # of several roots it is not said which
    found: complex = base**exponent
    return found


def _root(radicand: complex, degree: complex) -> complex:
    if degree == 2:
        return cmath.sqrt(radicand)
    if _is_negative(radicand):
        if degree.real % 2 != 1:
            raise NotANumber
        return complex(-((-radicand.real) ** (1 / degree.real)))
    return _power(radicand, 1 / degree)


def _is_negative(value: complex) -> bool:
    return value.imag == 0 and value.real < 0


def _refused(*values: complex) -> complex:
    raise NotANumber
