"""How an arm ended, by a rule fixed before looking: its verdict, and how far it fell from its peak.

Accuracies and standard errors are shares of 1. The thresholds stand here alone; the rule that
watches a run while it trains (`collapse.py`) takes its own from them.
"""

import math

STANDARD_ERRORS = 2.0
"""Of a paired difference to mu, beyond which a finished arm improved or collapsed."""
PEAK_SHARE = 0.5
"""Of its own best accuracy: below it a policy fails, in training as in a finished arm's verdict."""
FALL_ERRORS = 3.0
"""Standard errors by which an accuracy lies below the peak if it fell: the peak is the highest of
many, so that two of them are often passed by chance."""


def verdict(
    *, accuracy: float, behaviour_accuracy: float, difference_se: float, peak_accuracy: float
) -> str:
    """`improved`, `collapsed` or `stable`, at the last step.

    improved: above mu by two paired standard errors; collapsed: below mu by as much, or under half
    of its own peak; else stable.
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
    """Return by how much an arm ended below its own peak, if that is more than chance gives.

    Both standard errors are over prompts. They are taken as independent, which on the same prompts
    is the wider of the two. `peak_se` is taken as that of the last step if it is not known.
    """
    fall = peak_accuracy - accuracy
    error = math.hypot(accuracy_se, accuracy_se if peak_se is None else peak_se)
    return fall if fall > FALL_ERRORS * error else None
