r"""Compare expressions by their values, at several points if they have variables.

Most answers are decided here. Two expressions are equal if their values agree in `AGREEING` digits
at all points, and no intermediate value could hide a difference (`arithmetic.py`). math-verify
compares the few expressions that have no value here.
"""

import functools
import itertools
import math
import zlib
from fractions import Fraction
from typing import Any

from asymreinforce.grading.math.arithmetic import (
    AGREEING,
    NotANumber,
    Number,
    TooLarge,
    with_digits,
)
from asymreinforce.grading.math.expression import evaluate

POINTS = (0.73, 1.37, -1.61, 0.19, -0.58)
"""Points at which letters are evaluated; each letter adds its own offset, from 0 to about 1."""
LONGEST, DEEPEST = 200, 50
"""Characters and open brackets of the largest expression that is parsed: parsing takes some
milliseconds a character. A larger expression never equals another by math-verify."""


def constant_value(text: str) -> Number | None:
    """Return an expression's value; None if it has variables or no value; raises `TooLarge`."""
    return _value_at(text, None)


def values_agree(one: Number, other: Number) -> bool:
    """Tell whether two values are equal: fractions exactly, other numbers in `AGREEING` digits."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return one == other
    import mpmath

    with with_digits():
        one, other = mpmath.mpmathify(one), mpmath.mpmathify(other)
        return bool(abs(one - other) <= max(abs(one), abs(other)) * mpmath.mpf(10) ** -AGREEING)


def as_fraction(value: Number) -> Fraction | None:
    """Return a real value as a fraction, exact to `AGREEING` digits; None for a complex value."""

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
    """Tell whether two expressions agree at all points; None if one of them cannot be evaluated.

    Points at which both values are complex count only if there are no others, so that 1/sqrt(n)
    equals sqrt(1/n).
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
    """Return the sign of the ratio of two differences if it is constant: -1 for `x - 2`, `2 - x`.

    Return 0 if the ratio varies, a difference is constant, or a term cannot be evaluated.
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
    """Evaluate with a different value for each letter; None if the text has no value there."""
    import mpmath

    constants = {r"\pi": mpmath.pi, "e": mpmath.e, "i": mpmath.j}

    def named(name: str) -> Number:
        if name in constants:
            return +constants[name]
        if point is None:
            raise NotANumber
        # A checksum of the name gives the same letter the same value in both expressions.
        share = mpmath.mpf(zlib.crc32(name.encode())) / 2**32
        return point + share * (1 + mpmath.mpf(point) / 7)

    with with_digits():
        try:
            value = evaluate(text, named)
        except (NotANumber, ArithmeticError, ValueError, TypeError):
            return None
        if isinstance(value, Fraction):
            return value if point is None else mpmath.mpmathify(value)
        # A real value such as e^{i pi} has an imaginary part of rounding errors.
        return mpmath.chop(value, abs(value) * 10.0**-AGREEING)


def equal_by_math_verify(gold: str, answer: str) -> bool:
    """Tell whether two canonical texts are the same expression, set, relation or matrix."""
    if any(len(text) > LONGEST or _bracket_depth(text) > DEEPEST for text in (gold, answer)):
        return False
    from math_verify import verify

    golds, answers = _parsed_gold(gold), _parse_latex(answer)
    # Its time-outs, which are signals, are off: the pool bounds the time of sympy's `simplify`.
    options: dict[str, Any] = {"allow_set_relation_comp": True, "timeout_seconds": None}
    return bool(golds and answers and verify(golds, answers, **options))


def _bracket_depth(text: str) -> int:
    signs = (1 if sign in "{([" else -1 for sign in text if sign in "{}()[]")
    return max(itertools.accumulate(signs), default=0)


def _parse_latex(text: str) -> Any:
    from math_verify import parse

    options: dict[str, Any] = {"fallback_mode": "no_fallback", "parsing_timeout": None}
    expressions = parse(f"\\boxed{{{text}}}", [_extraction_config()], **options)
    return [_with_imaginary_unit(expression) for expression in expressions]


_parsed_gold = functools.lru_cache(maxsize=64)(_parse_latex)


def _with_imaginary_unit(expression: Any) -> Any:
    """Read the letter i as the imaginary unit: math-verify reads it as a variable."""
    from sympy import Expr, I

    if not isinstance(expression, Expr):
        return expression
    letters = [symbol for symbol in expression.free_symbols if symbol.name == "i"]
    return expression.xreplace(dict.fromkeys(letters, I))


@functools.lru_cache(1)
def _extraction_config() -> Any:
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig

    # Its own removal of units takes variables for units: it reads a + b + c as a.
    return LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last"
        )
    )
