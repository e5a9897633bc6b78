r"""The value of an expression, at points if it varies: what decides most answers.

If two agree in `AGREEING` digits at all points, and no value on the way could hide a difference
(`arithmetic.py`), they are equal.
"""

import math
import zlib
from fractions import Fraction

from asymreinforce.grading.math.arithmetic import (
    AGREEING,
    NotANumber,
    Number,
    TooLarge,
    with_digits,
)
from asymreinforce.grading.math.expression import evaluate

POINTS = (0.73, 1.37, -1.61, 0.19, -0.58)
"""Where letters are evaluated: each has a value of its own, up to 1 above."""


def constant_value(text: str) -> Number | None:
    """Return the value of an expression without variables, if it has one; raises `TooLarge`."""
    return _value_at(text, None)


def values_agree(one: Number, other: Number) -> bool:
    """Tell whether two values are equal: fractions exactly, others in `AGREEING` digits."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return one == other
    import mpmath

    with with_digits():
        one, other = mpmath.mpmathify(one), mpmath.mpmathify(other)
        return bool(abs(one - other) <= max(abs(one), abs(other)) * mpmath.mpf(10) ** -AGREEING)


def as_fraction(value: Number) -> Fraction | None:
    """Return a real value as a fraction, right to `AGREEING` digits; None for a complex one."""

    if isinstance(value, Fraction):
        return value
    with with_digits():
        return None if value.imag else Fraction(int(value.real * 10**AGREEING), 10**AGREEING)


def is_near(one: Number | None, other: Number | None) -> bool:
    """Tell whether two real values differ by less than a hundredth of the first."""
    if one is None or other is None:
        return False
    exact, near = as_fraction(one), as_fraction(other)
    if exact is None or near is None:
        return False
    return exact == near or abs(exact - near) * 100 < abs(exact)


def same_at_points(gold: str, answer: str) -> bool | None:
    """Tell whether two expressions have equal values where they are real; None if one is unread.

    A point at which neither is real counts only if there is no other: 1/sqrt(n) is sqrt(1/n).
    """
    real, unreal = list[bool](), list[bool]()
    for point in POINTS:
        one, other = _value_or_none(gold, point), _value_or_none(answer, point)
        if one is not None and other is not None:
            is_real = one.imag == 0 or other.imag == 0
            (real if is_real else unreal).append(values_agree(one, other))
            if is_real and not real[-1]:
                return False
    return all(real or unreal) if real or unreal else None


def ratio_sign(gold: tuple[str, ...], answer: tuple[str, ...]) -> int:
    """Return the sign of the constant ratio of two differences, `x - 2` and `2 - x` being -1.

    0 if the ratio is not constant, a difference does not vary, or a term is unread.
    """
    ratio = last = None
    for point in POINTS:
        terms = (_value_or_none(term, point) for term in (*gold, *answer))
        values = [value for value in terms if value is not None]
        if len(values) < len(gold) + len(answer):
            continue
        if values_agree(*values[:2]) or values_agree(*values[2:]):
            return 0
        with with_digits():
            difference = values[0] - values[1]
            current = difference / (values[2] - values[3])
        if last is not None and (
            not values_agree(ratio, current) or values_agree(last, difference)
        ):
            return 0
        ratio, last = current, difference
    return 0 if ratio is None or ratio.imag else int(math.copysign(1, ratio.real))


def _value_or_none(text: str, point: float) -> Number | None:
    try:
        return _value_at(text, point)
    except TooLarge:
        return None


def _value_at(text: str, point: float | None) -> Number | None:
    """Evaluate where each letter has a value of its own; None if the text has no value there."""
    import mpmath

    constants = {r"\pi": mpmath.pi, "e": mpmath.e, "i": mpmath.j}

    def named(name: str) -> Number:
        if name in constants:
            return +constants[name]
        if point is None:
            raise NotANumber
        share = mpmath.mpf(zlib.crc32(name.encode())) / 2**32
        return point + share * (1 + mpmath.mpf(point) / 7)

    with with_digits():
        try:
            value = evaluate(text, named)
        except (NotANumber, ArithmeticError, ValueError, TypeError):
            return None
        if isinstance(value, Fraction):
            return value if point is None else mpmath.mpmathify(value)
        return mpmath.chop(value, abs(value) * 10.0**-AGREEING)
