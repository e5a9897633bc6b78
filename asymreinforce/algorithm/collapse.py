"""Decide whether a policy has collapsed, by a fixed rule on the rows of METRICS.

The rule reads two signs; a row may hold either, both or neither.

    failing    accuracy is below half of the best accuracy so far, by more than three standard
               errors of the difference. Accuracy comes from validation and, in refresh rounds, also
               from the rollouts of a round's first step, which the policy drew as the round began.
    departed   log E_mu[pi/mu] < -1, so pi as a whole has left the completions that mu drew, and
               the log-probability of the correct completions is 2 nats below its starting value.

A run has collapsed at the first step at which

    1. the latest accuracy is failing and the latest diagnostics are departed; or
    2. two accuracies in a row are failing, departed or not; or
    3. three diagnostics in a row are far departed (at least twice the thresholds of `departed`),
       and no accuracy that is not failing was measured since the first of them.

Part 3 speaks if nothing is validated, or so seldom that pi falls between two accuracies.

A new round makes pi the behaviour policy, so departure is measured from that round's start. The
accuracy of a round's first rollouts is paired with the departure at the end of the round before.

KL(mu || pi), effective sample size and entropy are kept as evidence and decide nothing. KL grows to
14 nats in runs that do well, because they leave mu's failures behind, as they should. The effective
sample size is as high after a collapse as in a stable run, because pi has left all samples evenly.
Entropy falls in one task and rises in another. The thresholds were set on one behaviour policy and
tested on another (docs/results/collapse.md; the rule in words: docs/reference/collapse.md).
"""

import math
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import NamedTuple

from asymreinforce.algorithm.ending import FALL_ERRORS, PEAK_SHARE

EVIDENCE = ("validation_accuracy", "kl", "ess", "log_mean_weight", "slice_logp_correct",
            "token_entropy")  # fmt: skip
"""Metrics whose latest values are recorded at the step of the collapse."""


class Rule(NamedTuple):
    """The thresholds of the collapse rule; log-probabilities are of whole completions, in nats."""

    validation_prompts: int
    """Answers that a validation accuracy averages over; they set its standard error."""
    incorrect: float = -1.0
    correct: float = 1.0
    """Rewards of a wrong and of a right answer: they turn a mean reward into an accuracy."""
    reads_rewards: bool = True
    """Whether rewards take these two values only, so that a mean reward can be an accuracy."""
    peak_share: float = PEAK_SHARE
    standard_errors: float = FALL_ERRORS
    log_mean_weight: float = -1.0
    fall_of_successes: float = 2.0
    failing_in_a_row: int = 2
    departed_in_a_row: int = 3
    """Rows of diagnostics that are far departed, with no healthy accuracy since."""
    far: float = 2.0
    """Factor on both thresholds of departure at which a row is far departed."""


class State(NamedTuple):
    """What the rows of a run have shown so far; the defaults are the state of a new run."""

    start_logp: float | None = None
    """Log-probability of the correct completions at the start of the round."""
    behaviour: float | None = None
    """Accuracy of the rollouts of the run's first step, which mu drew."""
    peak: float | None = None
    """Best accuracy so far."""
    failing: int = 0
    """Number of failing accuracies in a row, the latest included."""
    departed: bool = False
    departed_before: bool = False
    """Whether the policy had departed at the end of the round before."""
    far_departed: int = 0
    """Number of far departed diagnostics in a row, the latest included."""
    healthy_since: bool = False
    """Whether an accuracy that is not failing was measured since the first of them."""
    latest: tuple[tuple[str, float], ...] = ()
    step: int | None = None
    """Step of the collapse, None if there was none; later rows do not change it."""
    reason: str | None = None

    @property
    def evidence(self) -> dict[str, float]:
        """The latest value of each metric in `EVIDENCE`, up to the collapse."""
        return dict(self.latest)


def collapse_state(rows: Iterable[Mapping[str, float | None]], rule: Rule) -> State:
    """Return the state after all rows of a run, given in the order of their steps."""
    return reduce(lambda state, row: observe(state, row, rule), rows, State())


def observe(state: State, row: Mapping[str, float | None], rule: Rule) -> State:
    """Return the state after one more row; rows without accuracy or diagnostics change nothing."""
    if state.step is not None:
        return state
    # staleness 0: a new round, whose mu is pi and whose diagnostic set is another
    if row.get("staleness") == 0:
        state = state._replace(
            start_logp=None,
            departed=False,
            departed_before=state.departed,
            far_departed=0,
            healthy_since=False,
        )
    seen = {name: value for name in EVIDENCE if (value := row.get(name)) is not None}
    state = state._replace(latest=tuple((state.evidence | seen).items()))
    state = _after_first_rollouts(state, row, rule)
    state = _after_diagnostics(_after_validation(state, seen, rule), seen, rule)
    if "validation_accuracy" in seen and not state.failing:
        state = state._replace(healthy_since=state.far_departed > 0)
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
    """Return the state after a round's first rollouts; mu's own, of round 0, begin the peak."""
    reward, step = row.get("reward"), row.get("step")
    # under replay the reward averages over the round's own rollouts only, so only these are counted
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
    # the rollouts come from the end of the round before: its departure belongs to this accuracy
    has_left = state.departed or bool(state.failing and state.departed_before)
    return state._replace(departed=has_left, departed_before=False)


def _after_accuracy(state: State, accuracy: float, rule: Rule, *, answers: float) -> State:
    peak = accuracy if state.peak is None else max(state.peak, accuracy)
    # binomial variances: both accuracies are taken over the same number of answers
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

    is_far = is_beyond(rule.far)
    return state._replace(
        start_logp=start,
        departed=is_beyond(1.0),
        far_departed=state.far_departed + 1 if is_far else 0,
        healthy_since=is_far and state.healthy_since,
    )


def _collapse_reason(state: State, rule: Rule) -> str | None:
    if state.failing and state.departed:
        return "accuracy fell below half of its peak, and the policy has left the rollouts"
    if state.failing >= rule.failing_in_a_row:
        return f"accuracy was below half of its peak {state.failing} times in a row"
    if state.far_departed >= rule.departed_in_a_row and not state.healthy_since:
        return f"the policy had left the rollouts {state.far_departed} diagnostics in a row"
    return None
