"""Read and compare written numbers: separators, percent signs, repeating and rounded decimals."""

import re
from fractions import Fraction
from typing import NamedTuple

from asymreinforce.grading.math import arithmetic
from asymreinforce.grading.math.points import as_fraction, constant_value, values_agree

THOUSANDS = re.compile(r"([-+]?(?:\\\$)?[1-9]\d{0,2})((?:,\d{3})+|(?: \d{3})+)(?!\d)(?=\D|$)")
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
REPEATING = re.compile(
    r"([-+]?)(\d*)\.(\d*)(?:\\(?:overline|bar|dot)\s*\{?(?P<line>\d+)\}?|\((?P<brackets>\d+)\))"
)
DECIMAL = re.compile(
    r"[-+]?(?P<digits>\d*\.(?P<places>\d+))"
    r"(?P<scale>\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{?\s*(?P<ten>[-+]?\d+)\s*\}?|[eE](?P<e>[-+]?\d+))?"
)
FEWEST_PLACES, FEWEST_DIGITS = 6, 5
"""A decimal may be a rounding of the other value if it has so many places after the point, and so
many digits without leading zeros. In scientific notation the first digit counts as a place."""
LONGEST_REPEATING = 200


class Number(NamedTuple):
    """A value, whether it is a percentage, and `unit`, its last place, if it may be rounded."""

    value: arithmetic.Number
    is_percent: bool = False
    unit: Fraction | None = None


def read_number(text: str, *, decimal_comma: bool = False) -> Number | None:
    """Read a canonical text as a number, or return None; `decimal_comma` reads `2,5` as 2.5."""
    bare = text.removesuffix("%").strip()
    if (written := THOUSANDS.match(bare)) is not None:
        bare = written[1] + re.sub("[, ]", "", written[2]) + bare[written.end() :]
    elif decimal_comma and DECIMAL_COMMA.fullmatch(bare):
        bare = bare.replace(",", ".")
    repeating = _read_repeating(bare)
    value = constant_value(bare) if repeating is None else repeating
    return None if value is None else Number(value, text.endswith("%"), _last_place(bare))


def equal_values(gold: Number, answer: Number) -> bool:
    """Compare numbers by the rules for percentages and roundings in docs/reference/graders.md."""
    # Beside a number without a sign, 50% may mean 50 or 0.5; two percentages mean the same thing.
    both = gold.is_percent and answer.is_percent
    with arithmetic.with_digits():
        golds, answers = (
            [each.value, each.value / 100] if each.is_percent and not both else [each.value]
            for each in (gold, answer)
        )
    return any(
        values_agree(one, other)
        or _is_rounding(one, other, gold.unit)
        or _is_rounding(other, one, answer.unit)
        for one in golds
        for other in answers
    )


def _is_rounding(short: arithmetic.Number, exact: arithmetic.Number, unit: Fraction | None) -> bool:
    """Tell whether `short` is `exact` rounded to the last place of `short`, or cut off there."""
    other = as_fraction(exact) if unit else None
    if unit is None or other is None:
        return False
    left_out = other - short if short > 0 else short - other
    return bool(-unit / 2 <= left_out < unit)


def _last_place(text: str) -> Fraction | None:
    written = DECIMAL.fullmatch(text)
    if written is None or len(written["digits"].lstrip("0.").replace(".", "")) < FEWEST_DIGITS:
        return None
    places, exponent = len(written["places"]), int(written["ten"] or written["e"] or 0)
    if places + (written["scale"] is not None) < FEWEST_PLACES or abs(exponent) > 100:
        return None
    return Fraction(10) ** (exponent - places)


def _read_repeating(text: str) -> Fraction | None:
    r"""Read a repeating decimal, `0.1\overline{6}` or `0.1(6)`; None for other texts."""
    digits = REPEATING.fullmatch(text.replace(" ", ""))
    if digits is None or len(text) > LONGEST_REPEATING:
        return None
    whole, once, again = digits[2], digits[3], digits["line"] or digits["brackets"]
    rest = Fraction(int(again), (10 ** len(again) - 1) * 10 ** len(once))
    value = Fraction(int(whole or 0)) + Fraction(int(once or 0), 10 ** len(once)) + rest
    return -value if digits[1] == "-" else value
