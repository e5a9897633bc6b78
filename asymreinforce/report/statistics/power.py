"""Compute how many seeds are needed to detect a difference, before the runs are made.

    power(N) = P(|T| > t_{N-1, 1-alpha/2}),   T noncentral t with N-1 degrees, delta = d sqrt(N) / s

d is the difference to detect and s the standard deviation, over seeds, of the paired difference of
two arms, both in the same unit (Cohen 1988, ch. 2).
"""

import bisect
import math

import numpy as np

from asymreinforce.errors import InputError
from asymreinforce.report.statistics.intervals import t_edge

POWER = 0.8
MOST_SEEDS = 10_000
GRID = 1024
"""Differences are searched in steps of this part of the deviation."""


def power(*, difference: float, deviation: float, seeds: int) -> float:
    """Return the probability that an interval over `seeds` pairs excludes 0."""
    from scipy.special import nctdtr

    if seeds < 2 or deviation <= 0:
        raise InputError("power needs at least two seeds, and a deviation above 0 between them")
    edge = t_edge(seeds - 1)
    shift = abs(difference) * math.sqrt(seeds) / deviation
    # scipy gives NaN if a tail is too small to compute
    above, below = (nctdtr(seeds - 1, shift, end) for end in (edge, -edge))
    return float(1 - np.nan_to_num(above) + np.nan_to_num(below))


def seeds_needed(*, difference: float, deviation: float) -> int:
    """Return the fewest seeds of each arm that detect `difference` with the power `POWER`.

    Raises `InputError` if more than 10,000 seeds are needed.
    """
    counts = range(2, MOST_SEEDS + 1)
    place = bisect.bisect_left(
        counts, POWER, key=lambda n: power(difference=difference, deviation=deviation, seeds=n)
    )
    if place == len(counts):
        raise InputError(
            f"a difference of {difference:g} at a deviation of {deviation:g} between seeds "
            f"needs more than {MOST_SEEDS} seeds; choose a larger difference"
        )
    return counts[place]


def smallest_difference(*, deviation: float, seeds: int) -> float:
    """Return the smallest difference that `seeds` pairs detect with the power `POWER`.

    The result is exact to a thousandth of `deviation`.
    """
    unit = deviation / GRID
    steps = range(1, GRID**2)
    return (
        unit
        * steps[
            bisect.bisect_left(
                steps,
                POWER,
                key=lambda k: power(difference=k * unit, deviation=deviation, seeds=seeds),
            )
        ]
    )
