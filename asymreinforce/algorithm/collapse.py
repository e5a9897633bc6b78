"""When a policy has collapsed: a written rule on the rows of METRICS, as training makes them.

Two signs are read from a row; either may be absent from it.

    failing    accuracy is below half of the best so far, by more than three standard errors of the
               difference; accuracy is that of validation, and, in refresh rounds, that of the
               rollouts of a round's first step, which the policy drew where the round starts
    departed   log E_mu[pi/mu] < -1: pi has left the completions that mu drew, as a whole; and the
               successes' log-probability is 2 nats below where it started

A run has collapsed at a step where

    1. it is failing and departed, each by its latest row; or
    2. it was failing twice in a row, wherever its mass is; or
    3. no accuracy was ever seen, and it departed far (twice as far) in three rows in a row.

Where mu becomes pi, departure is measured anew; what a round's first rollouts say of the policy is
held against how far it had departed by then.

KL(mu || pi) and the effective sample size decide nothing. KL grows to 14 nats in runs that do well:
they leave mu's failures behind, as they should. The effective sample size is as high after a
collapse as in a stable run, since pi has then left all samples evenly. Entropy falls in one task
and rises in another. All three are kept as evidence. Thresholds were set on one behaviour policy
and are measured on another (docs/results/collapse.md; the rule: docs/reference/collapse.md).
"""

import math
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import NamedTuple

from asymreinforce.algorithm.ending import FALL_ERRORS, PEAK_SHARE

EVIDENCE = ("validation_accuracy", "kl", "ess", "log_mean_weight", "slice_logp_correct",
            "token_entropy")  # fmt: skip
"""What is remembered of the run at the step of its collapse, the latest value of each."""


class Rule(NamedTuple):
    """The thresholds; nats are of whole completions."""

    validation_prompts: int
    """How many answers a validated accuracy is the mean of; its standard error follows from it."""
    incorrect: float = -1.0
    correct: float = 1.0
    """The two rewards, between which a mean reward is an accuracy."""
    reads_rewards: bool = True
    """Whether there are these two rewards and no others."""
    peak_share: float = PEAK_SHARE
    standard_errors: float = FALL_ERRORS
    log_mean_weight: float = -1.0
    fall_of_successes: float = 2.0
    failing_in_a_row: int = 2
    departed_in_a_row: int = 3
    """Rows of diagnostics, where no accuracy is validated."""
    far: float = 2.0
    """How many times as far as above the policy has then departed."""


class State(NamedTuple):
    """What the rows so far have shown; a new run starts with none of it."""

    start_logp: float | None = None
    """Of the successes, where the round started."""
    behaviour: float | None = None
    """Accuracy of the rollouts of the run's first step."""
    peak: float | None = None
    failing: int = 0
    """Accuracies in a row that failed, the latest included."""
    departed: bool = False
    departed_before: bool = False
    """Where the round before ended."""
    far_departed: int = 0
    latest: tuple[tuple[str, float], ...] = ()
    step: int | None = None
    """The step of the collapse, None while there was none; later rows leave it as it is."""
    reason: str | None = None

    @property
    def evidence(self) -> dict[str, float]:
        """The latest value of each diagnostic, up to the collapse."""
        return dict(self.latest)


def collapse_state(rows: Iterable[Mapping[str, float | None]], rule: Rule) -> State:
    """Fold the rows of a run, in the order of their steps, into what they show."""
    return reduce(lambda state, row: observe(state, row, rule), rows, State())


def observe(state: State, row: Mapping[str, float | None], rule: Rule) -> State:
    """Take one more row in. Rows without validation or diagnostics change nothing."""
    if state.step is not None:
        return state
    if row.get("staleness") == 0:  # mu is pi from here on, and the slice is another
        state = state._replace(
            start_logp=None, departed=False, departed_before=state.departed, far_departed=0
        )
    seen = {name: value for name in EVIDENCE if (value := row.get(name)) is not None}
    state = state._replace(latest=tuple((state.evidence | seen).items()))
    state = _after_first_rollouts(state, row, rule)
    state = _after_diagnostics(_after_validation(state, seen, rule), seen, rule)
    reason = _collapse_reason(state, rule)
    if reason is None:
        return state
    step = row["step"]
    assert step is not None, "METRICS has a step in every row"
    return state._replace(step=int(step), reason=reason)


def _after_validation(state: State, seen: Mapping[str, float], rule: Rule) -> State:
    accuracy = seen.get("validation_accuracy")
    if accuracy is None:
        return state
    return _after_accuracy(state, accuracy, rule, answers=rule.validation_prompts)


def _after_first_rollouts(state: State, row: Mapping[str, float | None], rule: Rule) -> State:
    """Take in the accuracy of a round's first rollouts; round 0's, of mu, begin the peak."""
    reward, step = row.get("reward"), row.get("step")
    # under replay the reward is that of the round's own rollouts, and so many are the step's
    fresh = row.get("fresh_sequences")
    answers = row.get("sequences") if fresh is None else fresh
    is_first = rule.reads_rewards and row.get("staleness") == 1
    if not is_first or reward is None or step is None or not answers:
        return state
    accuracy = (reward - rule.incorrect) / (rule.correct - rule.incorrect)
    if step == 1:
        return state._replace(behaviour=accuracy)
    if state.peak is None:
        state = state._replace(peak=state.behaviour)
    state = _after_accuracy(state, accuracy, rule, answers=answers)
    has_left = state.departed or bool(state.failing and state.departed_before)
    return state._replace(departed=has_left, departed_before=False)


def _after_accuracy(state: State, accuracy: float, rule: Rule, *, answers: float) -> State:
    peak = accuracy if state.peak is None else max(state.peak, accuracy)
    variance = (peak * (1 - peak) + accuracy * (1 - accuracy)) / answers
    beyond_noise = peak - accuracy > rule.standard_errors * math.sqrt(variance)
    is_failing = accuracy < rule.peak_share * peak and beyond_noise
    return state._replace(peak=peak, failing=state.failing + 1 if is_failing else 0)


def _after_diagnostics(state: State, seen: Mapping[str, float], rule: Rule) -> State:
    logp, weight = seen.get("slice_logp_correct"), seen.get("log_mean_weight")
    if weight is None or logp is None:
        return state
    start = logp if state.start_logp is None else state.start_logp

    def is_beyond(times: float) -> bool:
        fell = start - logp > times * rule.fall_of_successes
        return fell and weight < times * rule.log_mean_weight

    return state._replace(
        start_logp=start,
        departed=is_beyond(1.0),
        far_departed=state.far_departed + 1 if is_beyond(rule.far) else 0,
    )


def _collapse_reason(state: State, rule: Rule) -> str | None:
    if state.failing and state.departed:
        return "accuracy fell below half of its peak, and the policy has left the rollouts"
    if state.failing >= rule.failing_in_a_row:
        return f"accuracy was below half of its peak {state.failing} times in a row"
    if state.peak is None and state.far_departed >= rule.departed_in_a_row:
        return f"the policy had left the rollouts {state.far_departed} diagnostics in a row"
    return None
