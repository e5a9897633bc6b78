"""How an arm ended, against numbers worked out by hand."""

import pytest

from asymreinforce.algorithm.collapse import Rule
from asymreinforce.algorithm.ending import FALL_ERRORS, PEAK_SHARE, fall_from_peak, verdict


@pytest.mark.parametrize(
    ("accuracy", "se", "peak", "expected"),
    [
        (0.50, 0.04, 0.50, "improved"),  # 10 points above mu, se 4
        (0.48, 0.04, 0.48, "stable"),  # 8 points above, which is two standard errors, not more
        (0.33, 0.04, 0.45, "stable"),  # 7 points below
        (0.31, 0.04, 0.45, "collapsed"),  # 9 points below
        (0.40, 0.04, 0.81, "collapsed"),  # at mu, under half of its own peak
        (0.40, 0.04, 0.80, "stable"),  # exactly half is not under half
        (0.50, 0.01, 1.00, "improved"),
        (0.45, 0.01, 0.95, "improved"),  # above mu comes first, whatever the peak
        (0.40, 0.00, 0.40, "stable"),  # no difference and no spread
    ],
)
def test_the_verdict_follows_the_rule(
    accuracy: float, se: float, peak: float, expected: str
) -> None:
    found = verdict(accuracy=accuracy, behaviour_accuracy=0.4, difference_se=se, peak_accuracy=peak)
    assert found == expected


@pytest.mark.parametrize(
    ("accuracy", "se", "peak_se", "expected"),
    [
        (0.60, 0.03, 0.04, 0.30),  # 30 points below the peak, and the standard error is 5
        (0.75, 0.03, 0.04, None),  # 15 points are three of them, which is not more
        (0.74, 0.03, 0.04, 0.16),
        (0.90, 0.00, 0.00, None),  # the last step is the peak
        (0.89, 0.00, 0.00, 0.01),  # without spread any fall is one
        (0.60, 0.08, None, None),  # an unknown standard error is as large as the other: 11.3
        (0.60, 0.07, None, 0.30),  # 9.9
    ],
)
def test_a_fall_is_more_than_three_standard_errors_below_the_peak(
    accuracy: float, se: float, peak_se: float | None, expected: float | None
) -> None:
    fall = fall_from_peak(accuracy=accuracy, accuracy_se=se, peak_accuracy=0.9, peak_se=peak_se)
    assert fall == (None if expected is None else pytest.approx(expected))


def test_the_rule_that_watches_a_run_takes_the_same_thresholds() -> None:
    rule = Rule(validation_prompts=100)
    assert (rule.peak_share, rule.standard_errors) == (PEAK_SHARE, FALL_ERRORS) == (0.5, 3.0)
