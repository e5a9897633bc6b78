"""Train in rounds: generate from mu, score, train N steps, set mu <- pi, and repeat.

    for every round:   weights --engine--> rollouts --grader--> verdicts --N steps--> weights

An arm is one store for all of its rounds: optimizer and step count go on from round to round. Each
round's rollouts are a separate store, named by the weights that drew them. A killed run resumes
from its last checkpoint, also in the middle of a round.
"""

import contextlib
from collections.abc import Iterator, Sequence

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import files
from asymreinforce.data.arm_settings import FAILURE
from asymreinforce.data.store import Store
from asymreinforce.engines.protocol import Engine
from asymreinforce.experiment import refresh
from asymreinforce.experiment.arm import (
    hold_arm_lease,
    is_trained,
    open_validator_and_log,
    run_arm,
)
from asymreinforce.experiment.children import work_until_asked_to_stop
from asymreinforce.experiment.cleanup import remove_if_refused
from asymreinforce.experiment.earlier_rounds import earlier_rounds
from asymreinforce.experiment.launch import launch_ranks
from asymreinforce.experiment.open_arm import OpenArm, open_arm
from asymreinforce.experiment.running import Engines
from asymreinforce.experiment.slots import Slot
from asymreinforce.experiment.sweep import SweepResult, run_sweep, training_slots
from asymreinforce.interruption import as_worker
from asymreinforce.progress import hush_output, say
from asymreinforce.stages.train.schedule import Round


def run_in_rounds(arms: Sequence[ExperimentConfig]) -> SweepResult:
    """Train arms in rounds, each from its last checkpoint; evaluate them and write the summary.

    If one process does all the work, one engine start serves rollouts and evaluation.
    Raises `ConfigError` if the arms belong to several experiment directories.
    """
    slots = training_slots(arms, sample=True)[: len(arms)]
    with Engines() as engines:

        def launch_arms(waiting: Sequence[ExperimentConfig]) -> None:
            if len(slots) > 1:
                engines.close()  # each slot starts an engine, which needs the device's memory
                run_arms(waiting, slots=slots)
                return
            # several arms are shown in the sweep's table instead
            with hush_output() if len(arms) > 1 else contextlib.nullcontext():
                train_each(waiting, engines)

        return run_sweep(arms, launch=launch_arms, engines=engines, launch_speaks=len(arms) == 1)


def run_arms(arms: Sequence[ExperimentConfig], *, slots: Sequence[Slot]) -> None:
    """Divide arms among slots with one engine each; record an arm's failure in its directory."""
    count = len(slots)
    parts = [part for number in range(count) if (part := list(arms[number::count]))]
    work_until_asked_to_stop(
        _run_part, parts, slots=slots, lost="arms were not trained to their end"
    )


def _run_part(arms: Sequence[ExperimentConfig]) -> None:
    def train() -> None:
        with Engines() as engines:
            train_each(arms, engines)

    with hush_output():
        as_worker(train)


def train_each(arms: Sequence[ExperimentConfig], engines: Engines) -> None:
    """Train arms one after another; a failure is written to the arm's directory."""
    for arm in arms:
        run_arm(arm, lambda config: train_in_rounds(config, engine=engines.of(config)))


def train_in_rounds(config: ExperimentConfig, *, engine: Engine) -> Store:
    """Train an arm round after round from its last checkpoint; the shared rollouts exist.

    The engine generates in this process. The ranks of a sharded arm end after each round. Raises
    the error of training.
    """
    from asymreinforce.stages.train import Training, train

    arm = open_arm(config)
    if is_trained(arm):
        return arm.store
    with contextlib.ExitStack() as stack:
        stack.enter_context(remove_if_refused(arm.store))
        stack.enter_context(hold_arm_lease(arm))
        if not config.train.is_sharded:
            validate, log = stack.enter_context(open_validator_and_log(arm))
        for round_ in _remaining_rounds(arm):
            scored = refresh.make_round_rollouts(arm, round_, engine=engine)
            engine.release()  # training needs the device's memory
            if config.train.is_sharded:
                launch_ranks(config, arm.store)
                continue
            earlier = earlier_rounds(arm, round_, scored)
            train(
                Training(config, arm.store, validate, log, round_, earlier),
                checkpoint=arm.inputs.checkpoint,
                scored=scored,
            )
    files.remove_path(arm.store.directory / FAILURE)
    return arm.store


def _remaining_rounds(arm: OpenArm) -> Iterator[Round]:
    """Yield the remaining rounds in order; a round is trained when the next is asked for."""
    round_ = refresh.current_round(arm)
    rounds = len(round_.schedule.starts)
    while True:
        if rounds > 1:
            say(f"round {round_.number + 1} of {rounds}: after step {round_.start}")
        yield round_
        # an arm that stops at its collapse has no further rounds
        ended_early = arm.config.train.on_collapse == "stop" and arm.store.is_complete()
        if ended_early or round_.end == round_.schedule.steps:
            return
        round_ = Round(round_.schedule, round_.end, at=round_.end)
