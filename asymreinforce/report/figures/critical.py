"""Find the critical baseline, at which V is the mean reward of µ (Arnal et al. 2025, Thm. 4.2)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asymreinforce.report.groups import ArmGroup, signed_text
from asymreinforce.report.records import Experiment
from asymreinforce.report.words import words_of


class Critical(NamedTuple):
    """The baseline at which V is the mean reward of µ, with a label and words for the caption."""

    value: float
    label: str
    words: str


def critical_values(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Critical]:
    """Return the critical baseline of each reference that the groups use.

    With the reference `zero` the baseline is V, which is critical at the mean reward of µ. This
    mean is computed from µ's accuracy on the reported split; the critical baseline is left out if
    the reward scale is unknown.
    """
    criticals = []
    for reference in dict.fromkeys(group.baseline_reference for group in groups):
        if reference == "dataset_mean":
            words = "0, where V is the mean reward of the data set, but not of each prompt"
            criticals.append(Critical(0.0, "data set mean: 0", words))
        elif words_of(reference).is_critical_at_0:
            words = (
                "0, the critical value in theory (Arnal et al. 2025, Theorem 4.2), where V is the "
                "mean reward of µ on each prompt"
            )
            criticals.append(Critical(0.0, "critical in theory", words))
        elif reference == "zero" and (reward := _mean_reward(experiment)) is not None:
            value = signed_text(reward)
            words = f"V = {value}, the mean reward of µ at its accuracy here, not on each prompt"
            criticals.append(Critical(reward, f"mean reward: {value}", words))
    return criticals


def is_one_of_two(settings: Mapping[str, Any]) -> bool:
    """Tell whether an arm's flat settings allow only two rewards, `correct` and `incorrect`."""
    return (
        settings.get("reward.value", "threshold") == "threshold"
        and not settings.get("reward.graders")
        and settings.get("reward.overlong.max_tokens") is None
    )


def _mean_reward(experiment: Experiment) -> float | None:
    accuracy = experiment.behaviour_accuracy
    correct = experiment.shared.get("reward.correct")
    incorrect = experiment.shared.get("reward.incorrect")
    if accuracy is None or correct is None or incorrect is None:
        return None
    # with other rewards than these two, an accuracy does not determine the mean reward
    if not all(is_one_of_two(arm.settings) for arm in experiment.arms):
        return None
    return round(float(accuracy * correct + (1 - accuracy) * incorrect), 3)
