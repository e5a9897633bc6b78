"""Plain records of an experiment directory: its arms, checkpoints, outcomes and failures."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from asymreinforce.algorithm.ending import fall_from_peak
from asymreinforce.algorithm.table import has_baseline
from asymreinforce.data.arm_settings import Failure
from asymreinforce.rewards.warnings import RunFacts, warnings

# held-out first: validation questions choose checkpoints, held-out questions choose nothing
REPORTED_SPLITS = ("held_out", "validation")
"""Splits to report results on; the first of them that was evaluated is used."""


class SeriesPoint(NamedTuple):
    """A value at a training step."""

    step: int
    value: float


Series = tuple[SeriesPoint, ...]


class Checkpoint(NamedTuple):
    """An evaluated checkpoint of an arm; step 0 is the behaviour policy mu.

    `accuracy` and `pass_at_k` are shares of 1; `evaluation` is relative to the experiment.
    """

    split: str
    step: int
    accuracy: float
    accuracy_se: float
    k: int
    pass_at_k: float
    distinct_answers: float
    """Distinct answers among k samples of a prompt, on average."""

    entropy: float | None
    evaluation: str


class ArmOutcome(NamedTuple):
    """How an arm ended: its row of the summary, or its last checkpoint if there is no summary.

    Accuracies are shares of 1; `difference_se` is the paired standard error of accuracy minus
    behaviour accuracy; log-probabilities and entropy are in nats.
    """

    step: int
    behaviour_accuracy: float | None
    accuracy: float
    accuracy_se: float
    difference_se: float | None
    peak_accuracy: float
    peak_step: int
    k: int
    pass_at_k: float
    entropy: float | None
    logp_correct: float | None
    logp_incorrect: float | None
    kl: float | None
    ess: float | None
    verdict: str | None
    seconds: float | None
    collapse_step: int | None
    """The training step at which the rule of docs/results/collapse.md detected a collapse."""

    @property
    def difference(self) -> float | None:
        """Accuracy minus that of mu; None if mu was not evaluated."""
        mu = self.behaviour_accuracy
        return None if mu is None else self.accuracy - mu

    @property
    def has_collapsed(self) -> bool:
        """Whether the arm collapsed, by its verdict or by the rule of docs/reference/collapse.md.

        The rule detects a collapse during training. An arm that the rule called collapsed counts as
        recovered only if it ends above mu.
        """
        is_called = self.collapse_step is not None and self.verdict != "improved"
        return self.verdict == "collapsed" or is_called


class ReportedArm(NamedTuple):
    """A trained arm; `differing` are the dotted settings in which it differs from other arms."""

    id: str
    algorithm: str
    baseline: float | None
    baseline_reference: str
    seed: int
    policy_seed: int
    sampling_seed: int
    settings: Mapping[str, Any]
    differing: Mapping[str, Any]
    outcome: ArmOutcome | None
    checkpoints: tuple[Checkpoint, ...]
    metrics: Mapping[str, Series]
    failure: Failure | None
    """The error that stopped the arm, and its log; both are untrusted text."""

    facts: RunFacts | None = None
    """Counts of rollouts and steps; None if the arm was trained by a version without them."""

    suites: Mapping[str, Series] = MappingProxyType({})
    """Accuracy, a share of 1, on each suite beside the main evaluation."""

    @property
    def uses_baseline(self) -> bool:
        """Tell whether the baseline enters this arm's objective."""
        return has_baseline(self.algorithm) and self.baseline is not None

    @property
    def fate(self) -> str:
        """The arm's verdict, or the reason why it has no verdict, in a few words."""
        if self.failure:
            return "failed"
        if self.outcome is None:
            return "not evaluated"
        return self.outcome.verdict or "no verdict yet"

    def evaluated(self, split: str) -> dict[int, Checkpoint]:
        """Return the checkpoints that were evaluated on a split, by step, in order of steps."""
        return {point.step: point for point in self.checkpoints if point.split == split}

    def fall(self, split: str) -> float | None:
        """Return how far an arm that did not collapse ended below its own peak, a share of 1.

        None if chance explains the fall, or if the arm collapsed.
        """
        outcome = self.outcome
        if outcome is None or outcome.has_collapsed:
            return None
        peak = self.evaluated(split).get(outcome.peak_step)
        return fall_from_peak(
            accuracy=outcome.accuracy,
            accuracy_se=outcome.accuracy_se,
            peak_accuracy=outcome.peak_accuracy,
            peak_se=peak.accuracy_se if peak else None,
        )


def count_fallen(arms: Iterable[ReportedArm], split: str) -> int:
    """Count the arms that fell from their own peak without a collapse."""
    return sum(arm.fall(split) is not None for arm in arms)


class Experiment(NamedTuple):
    """An experiment directory; `shared` are the dotted settings that all arms have in common."""

    directory: Path
    name: str
    arms: tuple[ReportedArm, ...]
    shared: Mapping[str, Any]

    @property
    def split(self) -> str:
        """The split that results are reported on."""
        splits = {checkpoint.split for arm in self.arms for checkpoint in arm.checkpoints}
        return next((split for split in REPORTED_SPLITS if split in splits), REPORTED_SPLITS[0])

    @property
    def behaviour_accuracy(self) -> float | None:
        """The accuracy of mu, a share of 1: the mean over the experiment's behaviour policies."""
        # arms of the same policy and rollouts share mu, which counts once
        accuracy = {
            (arm.policy_seed, arm.sampling_seed): mu
            for arm in self.arms
            if arm.outcome and (mu := arm.outcome.behaviour_accuracy) is not None
        }
        return sum(accuracy.values()) / len(accuracy) if accuracy else None

    @property
    def warnings(self) -> list[str]:
        """Reasons why arms may learn little, one sentence each, with the number of arms."""
        counts = Counter(line for arm in self.arms if arm.facts for line in warnings(arm.facts))
        return [
            line if count == len(self.arms) else f"{count} of {len(self.arms)} arms: {line}"
            for line, count in counts.items()
        ]

    @property
    def is_evaluated(self) -> bool:
        """Whether any arm has an accuracy."""
        return any(arm.outcome for arm in self.arms)

    @property
    def policies(self) -> int:
        """The number of behaviour policies that arms started from."""
        return len({arm.policy_seed for arm in self.arms})
