"""Arms that one process trains side by side: start-up once, and each step's rows read once.

A *lot* is arms of the same inputs, data order and validation, which may differ in baseline,
objective, reward scale, learning rate and the like.
"""

import json
from collections.abc import Sequence
from typing import Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import determines
from asymreinforce.experiment.arm import run_arm, run_lot
from asymreinforce.experiment.children import work_in_slots
from asymreinforce.experiment.slots import ON_CPU, Slot
from asymreinforce.interruption import as_worker, patient
from asymreinforce.progress import hushed, say
from asymreinforce.rewards.scale import counting


def lots_of(arms: Sequence[ExperimentConfig], *, size: int) -> list[list[ExperimentConfig]]:
    """Cut arms into lots of at most `size`, in their order; a sharded arm is a lot of its own."""
    lots: list[list[ExperimentConfig]] = []
    open_lots: dict[str, list[ExperimentConfig]] = {}
    for arm in arms:
        key = _key(arm)
        lot = open_lots.get(key)
        if arm.train.is_sharded or lot is None or len(lot) >= size:
            lot = []
            lots.append(lot)
            if not arm.train.is_sharded:
                open_lots[key] = lot
        lot.append(arm)
    return lots


def run_lots(arms: Sequence[ExperimentConfig], *, size: int, slots: Sequence[Slot]) -> None:
    """Train lots, each in a process of a slot; each arm's failure is recorded in its directory."""
    lots = lots_of(arms, size=size)
    if slots[:1] == [ON_CPU] and 1 in (len(slots), len(lots)):
        for lot in lots:
            run_one(lot)
        return
    with patient() as is_asked_to_stop:
        outcomes = work_in_slots(run_one, lots, slots=slots, is_asked_to_stop=is_asked_to_stop)
        if not is_asked_to_stop():
            for error in dict.fromkeys(outcome.error for outcome in outcomes if outcome.error):
                say(f"warning: an arm was not trained to its end: {error}")


def run_one(lot: Sequence[ExperimentConfig]) -> None:
    """Train the arms of a lot in this process, which may be a child of the command's."""
    with hushed():
        as_worker(lambda: run_lot(lot) if len(lot) > 1 else run_arm(lot[0]))


def _key(arm: ExperimentConfig) -> str:
    train = arm.train
    step: list[Any] = [arm.seed, arm.optim.trajectories_per_step, train.device, train.threads]
    if train.validation_prompts:  # one validation serves them all
        sampled = arm.model_dump(mode="json", include={"evaluation": {"sampling"}, "engine": True})
        step += [train.validation_prompts, sampled, counting(arm.reward)]
    return json.dumps([determines.key_of(arm, determines.VERDICTS), step], sort_keys=True)
