"""How an arm ended, by a rule fixed before any result: its verdict, and its fall from its peak.

Accuracies and standard errors are shares of 1. `collapse.py`, which watches a run while it trains,
takes its thresholds from here.
"""

import math

STANDARD_ERRORS = 2.0
"""A finished arm improved or collapsed if its paired difference to mu exceeds this many errors."""
PEAK_SHARE = 0.5
"""A policy fails below this share of its own best accuracy, in training and in the verdict."""
# the peak is the highest of many accuracies, so 2 errors below it are often chance
FALL_ERRORS = 3.0
"""An accuracy fell if it lies more than this many standard errors below the peak."""


def verdict(
    *, accuracy: float, behaviour_accuracy: float, difference_se: float, peak_accuracy: float
) -> str:
    """Return an arm's verdict at its last step: `improved`, `collapsed` or `stable`.

    improved     above mu by more than two paired standard errors
    collapsed    below mu by more than two paired standard errors, or below half of the arm's peak
    stable       neither
    """
    difference = accuracy - behaviour_accuracy
    if difference > STANDARD_ERRORS * difference_se:
        return "improved"
    if difference < -STANDARD_ERRORS * difference_se or accuracy < PEAK_SHARE * peak_accuracy:
        return "collapsed"
    return "stable"


def fall_from_peak(
    *, accuracy: float, accuracy_se: float, peak_accuracy: float, peak_se: float | None = None
) -> float | None:
    """Return how far an arm ended below its own peak, None if chance explains the fall.

    Both standard errors are over prompts. A missing `peak_se` is taken to be `accuracy_se`.
    """
    fall = peak_accuracy - accuracy
    # as if independent: on the same prompts the paired error is smaller, so this is cautious
    error = math.hypot(accuracy_se, accuracy_se if peak_se is None else peak_se)
    return fall if fall > FALL_ERRORS * error else None
