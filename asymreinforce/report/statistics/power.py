"""Compute how many seeds are needed to detect a difference, before the runs are made.

    power(N) = P(|T| > t_{N-1, 1-alpha/2}),   T noncentral t with N-1 degrees, delta = d sqrt(N) / s

d is the difference to detect and s the standard deviation, over seeds, of the paired difference of
two arms, both in the same unit (Cohen 1988, ch. 2).
"""

import math

from asymreinforce.errors import InputError
from asymreinforce.report.statistics.intervals import LEVEL, t_edge

POWER = 0.8
MOST_SEEDS = 10_000


def power(*, difference: float, deviation: float, seeds: int, level: float = LEVEL) -> float:
    """Return the probability that an interval over `seeds` pairs excludes 0."""
    from scipy.special import nctdtr

    if seeds < 2 or deviation <= 0:
        raise InputError("power needs at least two seeds, and a deviation above 0 between them")
    edge = t_edge(level, seeds - 1)
    shift = abs(difference) * math.sqrt(seeds) / deviation
    above = 1 - float(nctdtr(seeds - 1, shift, edge))
    below = float(nctdtr(seeds - 1, shift, -edge))
    # scipy gives NaN if this tail is too small to compute
    return above + (0.0 if math.isnan(below) else below)


def seeds_needed(
    *, difference: float, deviation: float, power: float = POWER, level: float = LEVEL
) -> int:
    """Return the fewest seeds of each arm that detect `difference` with `power`.

    Raises `InputError` if more than 10,000 seeds are needed.
    """
    low, high = 1, 2
    while _power(difference, deviation, high, level) < power:
        low, high = high, 2 * high
        if high > MOST_SEEDS:
            raise InputError(
                f"a difference of {difference:g} at a deviation of {deviation:g} between seeds "
                f"needs more than {MOST_SEEDS} seeds; choose a larger difference"
            )
    while high - low > 1:
        middle = (low + high) // 2
        if _power(difference, deviation, middle, level) < power:
            low = middle
        else:
            high = middle
    return high


def smallest_difference(
    *, deviation: float, seeds: int, power: float = POWER, level: float = LEVEL
) -> float:
    """Return the smallest difference that `seeds` pairs detect with `power`.

    The result is exact to a thousandth of `deviation`.
    """
    # power rises with the difference, so bisection finds the smallest
    low, high = 0.0, deviation
    while _power(high, deviation, seeds, level) < power:
        low, high = high, 2 * high
    while high - low > deviation / 1000:
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _power(middle, deviation, seeds, level) < power else (low, middle)
        )
    return high


def _power(difference: float, deviation: float, seeds: int, level: float) -> float:
    return power(difference=difference, deviation=deviation, seeds=seeds, level=level)
