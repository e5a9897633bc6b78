"""The training loop over steps, and over the arms that take each step.

    verdicts --rewards--> r --advantages--> A = r - V --loss_inputs--> c --step--> weights

`take_step` is one optimizer step of one arm, with one line for each arrow.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Rows
from asymreinforce.interruption import delay_signals
from asymreinforce.progress import bar
from asymreinforce.stages.train.active_arm import ActiveArm, Training, label, start
from asymreinforce.update.memory import LogitsBuffer
from asymreinforce.update.ranks import ALONE, Ranks

Failures = dict[int, Exception]
"""An arm's number -> the error that ended its training."""

INTERRUPTED = "it was interrupted; the same command goes on from there"


def train(
    training: Training, *, checkpoint: Path, scored: ScoredRollouts, ranks: Ranks = ALONE
) -> None:
    """Train one arm, or a round of it, into its store; do nothing if the arm is complete.

    Each of several `ranks` calls this function with the same arguments, but only `validate` and
    `log` of the first rank are used.

    Raises `ConfigError` if the device or the objective does not exist, `InputError` if rollouts or
    weights do not fit, and `TrainingError` if a step is not finite; the last good checkpoint is
    kept, and the message names it.
    """
    failures = train_side_by_side([training], checkpoint=checkpoint, scored=scored, ranks=ranks)
    for error in failures.values():
        raise error


def train_side_by_side(
    trainings: Sequence[Training],
    *,
    checkpoint: Path,
    scored: ScoredRollouts,
    ranks: Ranks = ALONE,
) -> Failures:
    """Train arms side by side: each step's rows are read once, and every arm takes its own step.

    The arms share seed, rollouts and the number of groups in a step. Every arm has the same bytes
    as if it were trained alone. If an arm fails, the others go on; returns the errors by the arm's
    number.
    """
    if ranks.count > 1:
        # each rank reads only its own rows, and one rank compares the checksums of whole files
        scored = scored.shared_out(checked=ranks.is_first)
    arms: dict[int, ActiveArm] = {}
    failures: Failures = {}
    logits = LogitsBuffer()
    for number, training in enumerate(trainings):
        with _failing_alone(number, arms, failures):
            if arm := start(training, checkpoint, scored, ranks, logits):
                arms[number] = arm
    try:
        _take_steps(arms, scored, failures)
    finally:
        for arm in arms.values():
            arm.record()
    for arm in arms.values():
        arm.finish_if_complete()
    return failures


def _take_steps(arms: dict[int, ActiveArm], scored: ScoredRollouts, failures: Failures) -> None:
    """Take the remaining steps; every arm takes a step before any arm takes the next."""
    if not arms:
        return
    with (
        bar(
            label([arm.training.config for arm in arms.values()]),
            total=sum(arm.steps for arm in arms.values()),
            unit="steps",
            done=sum(arm.done for arm in arms.values()),
        ) as advance,
        # a signal waits for the end of the step, which is then saved
        delay_signals() as is_asked_to_stop,
    ):
        for arm in arms.values():
            arm.reporter.begin(goes_on=arm.round.start > 0)
        for step, batch in _batches(scored, arms):
            for number, arm in list(arms.items()):
                if arm.done < step <= arm.end:
                    with _failing_alone(number, arms, failures, step=step):
                        take_step(arm, step, batch)
                    advance(1)
            if is_asked_to_stop():
                for arm in arms.values():
                    arm.checkpoints.save_interrupted(step)
                    if step < arm.steps:
                        arm.reporter.ended("stopped", INTERRUPTED)
                return
            if all(step >= arm.end for arm in arms.values()):
                return  # before the last step only if every arm failed or ended at its collapse


def take_step(arm: ActiveArm, step: int, batch: Rows) -> None:
    """Take one optimizer step of an arm on whole groups of rollouts; save a checkpoint if due."""
    rewarded = arm.rewards(batch)  # verdicts -> r; rollouts that could not be scored are dropped
    baseline = arm.baseline.at(step)
    advantages_B = arm.objective.advantages(rewarded, baseline=baseline)  # A = r - V
    loss_inputs = arm.objective.loss_inputs(advantages_B, rewarded, baseline=baseline)
    update = arm.trainer.step(rewarded.sequences, loss_inputs)
    metrics = arm.monitors.after(step, update, rewarded)  # diagnostics, validation, collapse
    metrics |= arm.baseline.after(step, metrics)
    arm.checkpoints.save_if_due(step, metrics)
    arm.log(step, metrics, rewarded.sequences)


def _batches(scored: ScoredRollouts, arms: dict[int, ActiveArm]) -> Iterator[tuple[int, Rows]]:
    """Yield each remaining step of any arm, with the rows that all arms read at it."""
    some = next(iter(arms.values()))
    first = min(arm.done for arm in arms.values())
    last = max(arm.end for arm in arms.values())
    start_of_round, replay = some.round.start, some.replay
    batches = scored.batches(
        prompts=replay.fresh_prompts if replay else some.prompts_per_step,
        # the prompts of a later round were written in the order of its steps
        seed=None if start_of_round else some.training.config.seed,
        start=first - start_of_round,
        with_logps=any(arm.objective.needs_behaviour_logps for arm in arms.values()),
    )
    steps = zip(range(first + 1, last + 1), batches, strict=False)
    return ((step, replay.add(step, rows)) for step, rows in steps) if replay else steps


@contextlib.contextmanager
def _failing_alone(
    number: int, arms: dict[int, ActiveArm], failures: Failures, *, step: int = 0
) -> Iterator[None]:
    """If the block raises, remove the arm from `arms` and store its error; the others go on."""
    try:
        yield
    except Exception as error:
        arm = arms.pop(number, None)
        failures[number] = arm.explained(step, error) if arm else error
        if arm:
            arm.record()
            arm.reporter.ended("failed", f"{failures[number]}" or type(error).__name__)
