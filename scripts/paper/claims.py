"""Compare the paper's claims about language models with a sweep, in sentences with numbers."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from asymreinforce.algorithm.ending import STANDARD_ERRORS
from asymreinforce.report.bandit.words import DIFFERS, Finding, compare_with_paper, join_words
from asymreinforce.report.groups import ArmGroup, mean, signed_text
from asymreinforce.report.records import Experiment, ReportedArm
from asymreinforce.report.statistics.comparison import between_pairs, share_a_seed
from asymreinforce.report.words import percent_text, points_text
from scripts.paper.arms import (
    BySteps,
    accuracy_by_step,
    at_baseline,
    average_series,
    entropy_by_step,
    of_algorithm,
    standard_error,
    step_of_fall,
    swept_groups,
)
from scripts.paper.sweep_curves import PAIR, RIVAL

Value = TypeVar("Value")

RISE = 0.5
"""An entropy rises if its last step is so many nats above its lowest."""


def train_accuracy(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Finding]:
    """Check Fig. 3: stable below 0, faster towards 0; collapse from 0 on, earlier for larger V."""
    return _course_findings(groups, "train")


def held_out_accuracy(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Finding]:
    """Check Fig. 4: the same on held-out prompts, and the baseline that ends highest."""
    return [*_course_findings(groups, experiment.split), *_highest_findings(groups)]


def every_seed(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Finding]:
    """Check Fig. 5 (left): all seeds at 0 collapse, and no seed at -0.1."""
    below, critical = (at_baseline(groups, baseline) for baseline in PAIR)
    findings = []
    if critical and (arms := _evaluated_arms(critical)):
        collapsed = _count_collapsed(arms)
        findings.append(
            compare_with_paper(
                collapsed == len(arms),
                f"At 0 the paper's 7 runs all collapse; here {collapsed} of {len(arms)} do.",
            )
        )
    if below and (arms := _evaluated_arms(below)):
        collapsed = _count_collapsed(arms)
        ends = [arm.outcome.accuracy for arm in arms if arm.outcome]
        findings.append(
            compare_with_paper(
                collapsed == 0,
                f"At {signed_text(PAIR[0])} the paper's 7 runs are stable; here {collapsed} of "
                f"{len(arms)} collapse, and they end at {percent_text(min(ends))} to "
                f"{percent_text(max(ends))}.",
            )
        )
    return findings


def against_rival(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Finding]:
    """Check Fig. 5 (right): AsymRE at -0.1 is faster than GRPO and ends higher."""
    own, rival = at_baseline(groups, PAIR[0]), of_algorithm(groups, RIVAL)
    if not own or not rival or not share_a_seed(own, rival):
        return []
    return [_ends_higher(own, rival), *_is_faster(own, rival, experiment.split)]


def entropy(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Finding]:
    """Check Fig. 8: entropy falls, faster for larger baselines."""
    means = _mean_series(swept_groups(groups), lambda arm: entropy_by_step(arm, experiment.split))
    if len(means) < 2 or len(_common_steps(means)) < 2:
        return []
    first = min(step for step in _common_steps(means) if step)
    early = [values[first] for values in means.values()]
    before = mean(values[min(values)] for values in means.values())
    findings = [
        compare_with_paper(
            _is_rising([-value for value in early], slack=0.0),
            "In the paper entropy falls faster for larger baselines; here it goes, within "
            f"{first} steps, from {before:.2f} nats a completion to "
            f"{_list_by_baseline(means, lambda values: f'{values[first]:.2f}')}.",
        )
    ]
    rising = {
        b: values
        for b, values in means.items()
        if _last_value(values) > min(values.values()) + RISE
    }
    if rising:
        text = _list_by_baseline(
            rising, lambda v: f"from {min(v.values()):.2f} to {_last_value(v):.2f}"
        )
        findings.append(
            Finding(
                DIFFERS,
                f"It does not go on falling: by the last step it has risen again, {text}.",
            )
        )
    return findings


def _course_findings(groups: Sequence[ArmGroup], split: str) -> list[Finding]:
    """Compare the course of accuracy with the paper's: stable below 0, a collapse from 0 on."""
    own = swept_groups(groups)
    below = [group for group in own if (group.baseline or 0.0) < 0]
    above = [group for group in own if (group.baseline or 0.0) >= 0]
    findings = []
    if arms := [arm for group in below for arm in _evaluated_arms(group)]:
        collapsed = _count_collapsed(arms)
        findings.append(
            compare_with_paper(
                collapsed == 0,
                f"Below 0 training is stable in the paper; here {collapsed} of {len(arms)} arms "
                "collapsed.",
            )
        )
    findings += _speed_findings(below, split)
    if arms := [arm for group in above for arm in _evaluated_arms(group)]:
        collapsed = _count_collapsed(arms)
        findings.append(
            compare_with_paper(
                collapsed == len(arms),
                f"At 0 and above accuracy collapses in the paper; here {collapsed} of {len(arms)} "
                "arms collapsed.",
            )
        )
    return [*findings, *_order_of_falls(above, split)]


def _speed_findings(below: Sequence[ArmGroup], split: str) -> list[Finding]:
    """Compare accuracies at the first checkpoint; in the paper they rise faster towards 0."""
    means = _mean_series(below, lambda arm: accuracy_by_step(arm, split))
    steps = [step for step in _common_steps(means) if step]
    if len(means) < 2 or not steps:
        return []
    first = steps[0]
    early = [values[first] for values in means.values()]
    noise = (
        STANDARD_ERRORS * math.sqrt(2) * max(standard_error(group, split, first) for group in below)
    )
    return [
        compare_with_paper(
            _is_rising(early, slack=noise),
            f"Below 0 the paper's accuracy rises faster towards 0; here {_split_words(split)} "
            "accuracy "
            f"after {first} steps is "
            f"{_list_by_baseline(means, lambda values: percent_text(values[first]))}; "
            f"differences under {100 * noise:.1f} points are noise"
            + (", so no order is to be seen." if max(early) - min(early) <= noise else "."),
        )
    ]


def _order_of_falls(above: Sequence[ArmGroup], split: str) -> list[Finding]:
    """Compare the steps at which arms fall; in the paper a larger V falls earlier."""
    falls = {
        float(group.baseline or 0.0): [
            step
            for arm in group.arms
            if (step := step_of_fall(accuracy_by_step(arm, split))) is not None
        ]
        for group in above
    }
    means = {baseline: mean(steps) for baseline, steps in falls.items() if steps}
    if len(means) < 2:
        return []
    pairs = [*itertools.pairwise(means.values())]
    ties = sum(one == other for one, other in pairs)
    text = (
        "The paper's collapse comes earlier for larger baselines; here "
        f"{_split_words(split)} accuracy first falls under half of its peak at step "
        f"{_list_by_baseline(means, lambda step: f'{step:.0f}')}, on average over seeds"
    )
    if ties:
        text += ", and evaluated steps that are equal order nothing"
    return [compare_with_paper(all(one > other for one, other in pairs), f"{text}.")]


def _highest_findings(groups: Sequence[ArmGroup]) -> list[Finding]:
    """Report the baseline below 0 that ends highest, and whether it is the nearest to 0."""
    ends = {
        float(group.baseline or 0.0): mean(group.accuracies)
        for group in swept_groups(groups)
        if group.accuracies and (group.baseline or 0.0) < 0
    }
    if len(ends) < 2:
        return []
    top = max(ends, key=lambda baseline: ends[baseline])
    return [
        compare_with_paper(
            top == max(ends),
            f"Of the baselines below 0, {signed_text(top)} ends highest"
            + ("" if top == max(ends) else f", and not {signed_text(max(ends))}, the nearest to 0")
            + f": {_list_by_baseline(ends, percent_text)} at the last step.",
        )
    ]


def _ends_higher(own: ArmGroup, rival: ArmGroup) -> Finding:
    (compared,) = between_pairs([(rival, own)])
    assert compared
    asymre, grpo = _of_shared_seeds(own, rival)
    interval = compared.interval
    between = (
        f", 95% interval {points_text(interval.low)} to {points_text(interval.high)}"
        if interval
        else ""
    )
    return compare_with_paper(
        compared.difference > 0,
        f"AsymRE at {signed_text(PAIR[0])} ends higher than GRPO in the paper; here the difference "
        "is "
        f"{points_text(compared.difference)} points ({percent_text(mean(asymre))} and "
        f"{percent_text(mean(grpo))}; {compared.pairs} paired seeds{between}).",
    )


def _of_shared_seeds(*groups: ArmGroup) -> list[list[float]]:
    """Return the accuracies of each group on the seeds that all groups have, for differences."""
    by_seeds = [
        {(arm.policy_seed, arm.sampling_seed, arm.seed): arm.outcome.accuracy
         for arm in group.arms if arm.outcome}
        for group in groups
    ]  # fmt: skip
    shared = set.intersection(*map(set, by_seeds))
    return [[values[seeds] for seeds in sorted(shared)] for values in by_seeds]


def _is_faster(own: ArmGroup, rival: ArmGroup, split: str) -> list[Finding]:
    asymre, grpo = (
        average_series(group, lambda arm: accuracy_by_step(arm, split)) for group in (own, rival)
    )
    steps = [step for step in asymre if step and step in grpo]
    if not steps:
        return []
    first = steps[0]
    return [
        compare_with_paper(
            asymre[first] > grpo[first],
            f"It is also faster in the paper; here it is at {percent_text(asymre[first])} after "
            f"{first} "
            f"steps, GRPO at {percent_text(grpo[first])}.",
        )
    ]


def _evaluated_arms(group: ArmGroup) -> list[ReportedArm]:
    return [arm for arm in group.arms if arm.outcome]


def _count_collapsed(arms: Sequence[ReportedArm]) -> int:
    return sum(arm.outcome.has_collapsed for arm in arms if arm.outcome)


def _is_rising(values: Sequence[float], *, slack: float) -> bool:
    """Tell whether values rise from first to last, and no later value falls by over `slack`."""
    pairs = itertools.combinations(values, 2)
    return values[-1] - values[0] > slack and all(later - own >= -slack for own, later in pairs)


def _mean_series(
    groups: Sequence[ArmGroup], series: Callable[[ReportedArm], BySteps]
) -> dict[float, BySteps]:
    """Return the mean series of each baseline that has a series."""
    means = {float(group.baseline or 0.0): average_series(group, series) for group in groups}
    return {baseline: values for baseline, values in means.items() if len(values) > 1}


def _common_steps(means: dict[float, BySteps]) -> list[int]:
    """Return the steps that every series has."""
    return sorted(set.intersection(*(set(values) for values in means.values()))) if means else []


def _last_value(values: BySteps) -> float:
    return values[max(values)]


def _list_by_baseline(values: Mapping[float, Value], words: Callable[[Value], str]) -> str:
    """Write a value a baseline: '1.2 at −0.1 and 0.9 at 0'."""
    return join_words(
        f"{words(value)} at {signed_text(baseline)}" for baseline, value in values.items()
    )


def _split_words(split: str) -> str:
    return split.replace("_", "-")
