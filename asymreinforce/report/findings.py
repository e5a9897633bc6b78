"""Write the question of an experiment and its findings as sentences."""

import operator
from collections import Counter
from collections.abc import Sequence

from asymreinforce.report.groups import ArmGroup, best_group, group_label, mean
from asymreinforce.report.records import Experiment, ReportedArm, count_fallen
from asymreinforce.report.words import count_words, percent_text, words_of


def question_sentence(experiment: Experiment, groups: Sequence[ArmGroup]) -> str:
    """Return the question that the experiment asks, as one sentence."""
    swept = [group for group in groups if group.baseline is not None]
    references = list(dict.fromkeys(group.baseline_reference for group in swept))
    measured = f"{experiment.split.replace('_', '-')} accuracy"
    if not references:
        return f"What {measured} does a policy reach if it learns from one frozen set of rollouts?"
    shift = (
        f"a baseline counted from {words_of(references[0]).counted_from}"
        if len(references) == 1
        else "the baseline, under each reference"
    )
    return (
        "When a policy learns by off-policy REINFORCE from the rollouts of a frozen policy µ, "
        f"what does {shift} do to its {measured}?"
    )


def finding_sentences(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[str]:
    """Return the findings: the accuracy of mu, the best setting, and each side of baseline 0."""
    sentences = []
    if (behaviour := experiment.behaviour_accuracy) is not None:
        many = "" if experiment.policies == 1 else f", the mean of {experiment.policies} policies"
        sentences.append(
            f"The behaviour policy µ answers {percent_text(behaviour)} correctly{many}."
        )
    if best := best_group(groups):
        seeds = count_words(len(best.accuracies), "seed")
        sentences.append(
            f"Highest at the last step: {_group_name(best, groups)}, "
            f"{percent_text(mean(best.accuracies))} "
            f"on average over {seeds}."
        )
    sides = _arms_by_side(groups).items()
    told = (_side_sentence(words, arms, split=experiment.split) for words, arms in sides)
    return [*sentences, *filter(None, told)]


def answer_sentence(experiment: Experiment, groups: Sequence[ArmGroup]) -> str | None:
    """Return the main finding in one line; None if no arm was evaluated."""
    if (best := best_group(groups)) is None:
        return None
    line = f"{_group_name(best, groups)} ends highest, at {percent_text(mean(best.accuracies))}"
    line = line[0].upper() + line[1:]
    if (behaviour := experiment.behaviour_accuracy) is not None:
        line += f" (µ: {percent_text(behaviour)})"
    collapsed = [
        f"{_share_words(len(fallen), len(arms))} {words[0].lower()}{words[1:]}"
        for words, arms in _arms_by_side(groups).items()
        if (fallen := [arm for arm in arms if arm.fate == "collapsed"])
    ]
    if collapsed:
        return f"{line}; collapsed: {', '.join(collapsed)}."
    return f"{line}; no arm collapsed."


def _share_words(count: int, total: int) -> str:
    return f"all {total}" if count == total else f"{count} of {total}"


def _group_name(group: ArmGroup, groups: Sequence[ArmGroup]) -> str:
    name = group_label(group, groups)
    # if objectives differ, the label begins with the objective, and "baseline" would mislead
    is_number = group.baseline is not None and not name[0].isalpha()
    return f"baseline {name}" if is_number else name


def _arms_by_side(groups: Sequence[ArmGroup]) -> dict[str, list[ReportedArm]]:
    """Return all arms by the side of baseline 0 on which they are.

    Arms whose reference does not make 0 critical, or that have no baseline, are on a side of their
    own.
    """
    sides = {"Below 0": operator.lt, "At 0": operator.eq, "Above 0": operator.gt}
    arms: dict[str, list[ReportedArm]] = {words: [] for words in sides}
    others: list[ReportedArm] = []
    for group in groups:
        if group.baseline is None or not words_of(group.baseline_reference).is_critical_at_0:
            others += group.arms
            continue
        for words, is_there in sides.items():
            if is_there(group.baseline, 0.0):
                arms[words] += group.arms
    is_alone = not any(arms.values())
    return arms | {
        "In this experiment" if is_alone else "With another reference or no baseline": others
    }


def _side_sentence(words: str, arms: Sequence[ReportedArm], *, split: str) -> str | None:
    """Count the verdicts on one side: "Above 0, of 10 arms: 9 collapsed, 1 failed."."""
    if not any(arm.outcome and arm.outcome.verdict for arm in arms):
        return None
    fates = Counter(arm.fate for arm in arms)
    fallen = count_fallen(arms, split)
    who = "it" if len(arms) == 1 else _share_words(fallen, len(arms))
    whose = "its" if fallen == 1 else "their"
    # "improved" alone would hide that an arm ended far below its own peak
    but = f", but {who} fell from {whose} own peak" if fallen else ""
    if len(fates) == 1:
        every = "the arm" if len(arms) == 1 else f"all {len(arms)} arms"
        return f"{words}, {every} {_fate_words(arms[0].fate, len(arms))}{but}."
    counted = ", ".join(
        f"{count} {_fate_words(fate, count)}" for fate, count in fates.most_common()
    )
    return f"{words}, of {count_words(len(arms), 'arm')}: {counted}{but}."


def _fate_words(fate: str, count: int) -> str:
    if fate in ("improved", "collapsed", "failed"):
        return fate
    if fate == "no verdict yet":
        return f"with {fate}"
    return f"{'was' if count == 1 else 'were'} {fate}"
