r"""Arithmetic on exact fractions while possible, then on complex numbers of `DIGITS` digits.

A result that needs too many bits, or that these digits cannot tell from another value, raises
`TooLarge` before it is computed.
"""

import functools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import Any

MOST_BITS = 1 << 20
MOST_DIGITS = 4_000
"""Digits of one literal; Python itself converts at most 4,300."""
DIGITS, AGREEING, HIDING = 250, 120, 332
"""Decimal digits of every computation; decimal digits in which equal values must agree; binary
digits beyond which a difference may be an error of rounding."""
NOISE = 760
"""Binary digits beyond which a difference of two values is certainly an error of rounding."""
Number = Any
"""A Fraction, or a real or complex number of mpmath."""


class TooLarge(Exception):  # noqa: N818  (an answer, not a fault)
    """A number that is short to write and too expensive to compute, such as 9^9^9."""


class NotANumber(Exception):  # noqa: N818
    """A text that is not arithmetic or has no value."""


def with_digits() -> AbstractContextManager[Any]:
    """Compute with `DIGITS` digits within the context."""
    import mpmath

    return mpmath.workdps(DIGITS)  # type: ignore[no-any-return]


def to_inexact(value: Number) -> Number:
    """Convert to a number of mpmath; raises `TooLarge` if `DIGITS` cannot represent the value."""
    import mpmath

    return check_size(mpmath.mpmathify(value), rounded=False)


def check_size(value: Number, *, scale: int = 0, rounded: bool = True) -> Number:
    """Return a value, snapped to 0 or 1 if only rounding noise separates the two.

    The noise is relative to operands of size 2**scale. Raises `TooLarge` for a value that needs
    more than `MOST_BITS` bits, or is so near to 0 or 1, or so large, that digits hide a difference.
    """
    if isinstance(value, Fraction):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
            raise TooLarge
        return value
    import mpmath

    for anchor in (0, 1):
        size = mpmath.mag(value - anchor)
        if size in (mpmath.ninf, mpmath.nan) or (rounded and size < scale - NOISE):
            return mpmath.mpf(anchor)
        if not -HIDING < size < HIDING:
            raise TooLarge
    return value


def read_literal(token: str) -> Fraction:
    """Read a decimal literal such as `12`, `1.5` or `1.2e3`; raises `TooLarge`."""
    mantissa, _, exponent = token.lower().partition("e")
    if len(mantissa) > MOST_DIGITS or len(exponent) > 5:
        raise TooLarge
    shift = power(Fraction(10), Fraction(exponent or 0))
    return Fraction(check_size(Fraction(mantissa.rstrip(".")) * shift))


def plus(one: Number, other: Number) -> Number:
    """Add."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return check_size(one + other)
    import mpmath

    one, other = to_inexact(one), to_inexact(other)
    return check_size(one + other, scale=int(mpmath.mag(one)) if one else 0)


def times(one: Number, other: Number) -> Number:
    """Multiply."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return check_size(one * other)
    return check_size(to_inexact(one) * to_inexact(other))


def over(above: Number, below: Number) -> Number:
    """Divide; raises `NotANumber` for a division by zero."""
    if below == 0:
        raise NotANumber
    return times(above, 1 / below)


def power(base: Number, exponent: Number) -> Number:
    """Raise to a power; a negative base has no fractional power, since several roots compete.

    Raises `NotANumber` if there is no value, and `TooLarge`.
    """
    if base == 0 and exponent.real <= 0:
        raise NotANumber
    is_exact = isinstance(base, Fraction) and isinstance(exponent, Fraction)
    if is_exact and exponent.denominator > 1:
        exact = _exact_root(base, exponent.denominator)
        if exact is None:
            return _inexact_power(base, exponent)
        base, exponent = exact, Fraction(exponent.numerator)
    if not is_exact:
        return _inexact_power(base, exponent)
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if base in (0, 1, -1):  # cheap for any exponent, however long
        return base ** (int(exponent) % 2 or 2)
    # The size is estimated first, since an untrusted text may ask for 9^9^9.
    if size * abs(exponent) > MOST_BITS:
        raise TooLarge
    return base ** int(exponent)


def _inexact_power(base: Number, exponent: Number) -> Number:
    import mpmath

    # A negative base has several such roots, and no root is preferred.
    if base.imag == 0 > base.real and isinstance(exponent, Fraction) and exponent.denominator > 1:
        raise NotANumber
    base, exponent = to_inexact(base), to_inexact(exponent)
    if base and abs(exponent * mpmath.log(base)) > HIDING:
        raise TooLarge
    result = mpmath.power(base, exponent)
    return mpmath.mpf(1) if mpmath.mag(result - 1) < -NOISE else check_size(result, rounded=False)


def root(radicand: Number, degree: Number) -> Number:
    """Return a root; a negative radicand has the real root if the degree is odd."""
    import mpmath

    if isinstance(radicand, Fraction) and isinstance(degree, Fraction) and degree.denominator == 1:
        exact = _exact_root(radicand, int(degree))
        if exact is not None:
            return exact
    if degree == 2:
        return check_size(mpmath.sqrt(to_inexact(radicand)), rounded=False)
    if radicand.imag == 0 > radicand.real:
        # Only an odd root of a negative number is real; a square root was taken before.
        if degree.real % 2 != 1:
            raise NotANumber
        return -root(-radicand, degree)
    return power(radicand, over(Fraction(1), degree))


def _exact_root(radicand: Fraction, degree: int) -> Fraction | None:
    """Return a rational square or cubic root; None if there is none."""
    from sympy import integer_nthroot

    parts = abs(radicand).as_integer_ratio()
    is_small = all(part.bit_length() <= 4_096 for part in parts)
    if degree not in (2, 3) or (radicand < 0 and degree == 2) or not is_small:
        return None
    roots = [integer_nthroot(part, degree) for part in parts]
    if not all(is_exact for _, is_exact in roots):
        return None
    return (-1 if radicand < 0 else 1) * Fraction(*(int(value) for value, _ in roots))


def apply_function(name: str, argument: Number, base: Number = None) -> Number:
    """Apply a function of mathematics; only a logarithm takes a `base`."""
    import mpmath

    exact: dict[str, Any] = {"abs": abs, "floor": math.floor, "ceil": math.ceil}
    if name in exact and isinstance(argument, Fraction):
        return Fraction(exact[name](argument))
    argument = to_inexact(argument)
    if name == "exp":
        return power(+mpmath.e, argument)
    if name in ("ln", "log", "lg"):
        usual = mpmath.mpf(10) if name == "lg" else mpmath.e
        base = usual if base is None else to_inexact(base)
        return check_size(mpmath.log(argument) / mpmath.log(base))
    of_mpmath = "fabs" if name == "abs" else name.replace("arc", "a")
    if base is not None or not hasattr(mpmath, of_mpmath):
        raise NotANumber
    return check_size(getattr(mpmath, of_mpmath)(argument))


def _of_naturals(name: str, exact: Callable[..., int], most: int, *arguments: Number) -> Number:
    """Apply a function of natural numbers, or its continuation to other numbers."""
    import mpmath

    if any(abs(argument) > most for argument in arguments):
        raise TooLarge
    if not all(isinstance(argument, Fraction) for argument in arguments):
        return check_size(getattr(mpmath, name)(*map(to_inexact, arguments)))
    if any(argument.denominator != 1 or argument < 0 for argument in arguments):
        raise NotANumber
    return Fraction(exact(*map(int, arguments)))


factorial = functools.partial(_of_naturals, "factorial", math.factorial, 20_000)
binomial = functools.partial(_of_naturals, "binomial", math.comb, 10_000)
"""n!, and "n choose k"."""
