"""A number as it is written: separators, percent signs, repeating and rounded decimals.

number("1,250") == Number(Fraction(1250))        number("35%") == Number(Fraction(35), True)
"""

import re
from fractions import Fraction
from typing import NamedTuple

from asymreinforce.grading.math.arithmetic import NotANumber, value

THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:(?:,\d{3})+|(?: \d{3})+)(?:\.\d+)?%?")
DECIMAL_COMMA = re.compile(r"([-+]?\d+),(\d+)(%?)")
REPEATING = re.compile(
    r"([-+]?)(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{?(\d+)\}?|([-+]?)(\d*)\.(\d*)\((\d+)\)"
)
FEWEST_DECIMALS = 6
"""Decimals from which on a number may be a rounding of the other."""
LONGEST_REPEATING = 200


class Number(NamedTuple):
    """A value, whether a percent sign follows it, and the decimals it was written with."""

    value: Fraction
    is_percent: bool = False
    decimals: int = 0


def number(text: str, *, decimal_comma: bool = False) -> Number | None:
    """Read a canonical text as one number; None where it is something else.

    `decimal_comma` reads `2,5` as 2.5. Raises `TooLarge`.
    """
    is_percent = text.endswith("%")
    bare = text.removesuffix("%").strip()
    if not bare or not any(character.isdigit() for character in bare):
        return None
    if THOUSANDS.fullmatch(bare):
        bare = bare.replace(",", "").replace(" ", "")
    elif decimal_comma and (found := DECIMAL_COMMA.fullmatch(bare)):
        bare = f"{found[1]}.{found[2]}"
    if "," in bare or "%" in bare:
        return None
    point = re.search(r"\.(\d+)$", bare)
    decimals = len(point[1]) if point else 0
    try:
        found_value = _repeating(bare)
        return Number(value(bare) if found_value is None else found_value, is_percent, decimals)
    except NotANumber:
        return None


def equal_values(gold: Number, answer: Number) -> bool:
    """Compare two numbers; a percentage is taken as its number and as its share.

    A number of six decimals or more may be a rounding of the other, or cut off.
    """
    if gold.is_percent and answer.is_percent:
        gold, answer = gold._replace(is_percent=False), answer._replace(is_percent=False)
    return any(
        here == there
        or _rounds(here, there, gold.decimals)
        or _rounds(there, here, answer.decimals)
        for here in _readings(gold)
        for there in _readings(answer)
    )


def _readings(of: Number) -> tuple[Fraction, ...]:
    return (of.value, of.value / 100) if of.is_percent else (of.value,)


def _rounds(short: Fraction, exact: Fraction, decimals: int) -> bool:
    if decimals < FEWEST_DECIMALS or abs(short) * 10**decimals < 10**4:
        return False
    return bool(abs(short - exact) * 10**decimals < 1)


def _repeating(text: str) -> Fraction | None:
    r"""Read `0.1\overline{6}` or `0.1(6)`: the digits repeat for ever."""
    found = REPEATING.fullmatch(text.replace(" ", ""))
    if found is None:
        return None
    sign, whole, once, again = [part or "" for part in found.groups()[:4]]
    if not again:
        sign, whole, once, again = [part or "" for part in found.groups()[4:]]
    if len(whole) + len(once) + len(again) > LONGEST_REPEATING:
        raise NotANumber
    start = Fraction(int(whole or 0)) + Fraction(int(once or 0), 10 ** len(once))
    rest = Fraction(int(again), (10 ** len(again) - 1) * 10 ** len(once))
    return -(start + rest) if sign == "-" else start + rest
