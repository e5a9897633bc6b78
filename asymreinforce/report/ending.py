"""How an arm ended: whether in a collapse, and how far under its own peak."""

from collections.abc import Iterable

from asymreinforce.algorithm.ending import fall_from_peak
from asymreinforce.report.records import ArmOutcome, ReportedArm


def has_collapsed(outcome: ArmOutcome) -> bool:
    """Tell whether an arm's verdict is a collapse, or the rule saw one that it never got over.

    The rule (docs/reference/collapse.md) sees a collapse while it happens. An arm that ends above
    mu all the same has recovered; an arm that does not has collapsed, even if its verdict is
    `stable`.
    """
    is_called = outcome.collapse_step is not None and outcome.verdict != "improved"
    return outcome.verdict == "collapsed" or is_called


def fall_of(arm: ReportedArm, *, split: str) -> float | None:
    """Return by how much an arm that did not collapse ended below its own peak, a share of 1.

    None if that is no more than chance gives, and of a collapse, whose verdict says as much.
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
    """Count the arms that ended under their own peak, without collapse."""
    return sum(fall_of(arm, split=split) is not None for arm in arms)
