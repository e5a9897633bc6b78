"""Tell how an arm ended: whether it collapsed, and how far it fell below its own peak."""

from collections.abc import Iterable

from asymreinforce.algorithm.ending import fall_from_peak
from asymreinforce.report.records import ArmOutcome, ReportedArm


def has_collapsed(outcome: ArmOutcome) -> bool:
    """Tell whether an arm collapsed, by its verdict or by the rule of docs/reference/collapse.md.

    The rule detects a collapse during training. An arm that the rule called collapsed counts as
    recovered only if it ends above mu.
    """
    is_called = outcome.collapse_step is not None and outcome.verdict != "improved"
    return outcome.verdict == "collapsed" or is_called


def fall_of(arm: ReportedArm, *, split: str) -> float | None:
    """Return how far an arm that did not collapse ended below its own peak, a share of 1.

    None if chance explains the fall, or if the arm collapsed.
    """
    outcome = arm.outcome
    if outcome is None or has_collapsed(outcome):
        return None
    peak = next(
        (c for c in arm.checkpoints if (c.split, c.step) == (split, outcome.peak_step)), None
    )
    return fall_from_peak(
        accuracy=outcome.accuracy,
        accuracy_se=outcome.accuracy_se,
        peak_accuracy=outcome.peak_accuracy,
        peak_se=peak.accuracy_se if peak else None,
    )


def count_fallen(arms: Iterable[ReportedArm], *, split: str) -> int:
    """Count the arms that fell from their own peak without a collapse."""
    return sum(fall_of(arm, split=split) is not None for arm in arms)
