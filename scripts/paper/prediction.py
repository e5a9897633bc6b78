"""Compare the prediction of Theorem 4.2 on answer styles with a sweep, in sentences."""

from collections.abc import Sequence
from statistics import median

from asymreinforce.report.bandit.words import BEYOND, Finding
from scripts.paper.prediction_figures import WayOutcome

FAR = 50.0
"""If all predicted and reached shares differ by so many points, the collapse is another one."""

FORGONE = (
    ": the network's collapse is not the bandit's, whose best way stays "
    "(docs/results/prediction.md)."
)


def prediction_findings(outcomes: Sequence[WayOutcome]) -> list[Finding]:
    """Compare predicted and reached shares of worked answers, below 0 and from 0 on."""
    below = [arm for arm in outcomes if arm.baseline < 0]
    above = [arm for arm in outcomes if arm.baseline >= 0]
    findings = []
    if misses := _share_misses(below):
        findings.append(
            Finding(
                BEYOND,
                f"Below 0 the share of worked answers ends {100 * median(misses):.1f} points from "
                f"what the theorem predicts of the rollouts, in the median of {len(misses)} arms; "
                f"{100 * max(misses):.1f} at most.",
            )
        )
    if misses := _share_misses(above):
        reached = [100 * arm.worked for arm in above if arm.predicted_worked is not None]
        predicted = [100 * p for arm in above if (p := arm.predicted_worked) is not None]
        findings.append(
            Finding(
                BEYOND,
                f"At 0 and above, where it predicts {_range_text(predicted)}, "
                f"{_range_text(reached)} of the "
                "answers are worked in the end"
                + (FORGONE if min(predicted) - max(reached) > FAR else "."),
            )
        )
    return findings


def _share_misses(arms: Sequence[WayOutcome]) -> list[float]:
    """Return the distances of shares, for the arms with a prediction."""
    return [
        abs(arm.worked - arm.predicted_worked) for arm in arms if arm.predicted_worked is not None
    ]


def _range_text(percents: Sequence[float]) -> str:
    low, high = f"{min(percents):.0f}", f"{max(percents):.0f}"
    return f"{low}%" if low == high else f"{low} to {high}%"
