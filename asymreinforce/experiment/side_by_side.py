"""Train several arms side by side in one process, with one start-up and one read of each step.

The arms of one process have the same inputs, data order and validation. They may differ in
baseline, objective, reward scale, learning rate and the like.
"""

import json
from collections.abc import Sequence
from typing import Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import determines
from asymreinforce.experiment.arm import run_arm, run_arms_side_by_side
from asymreinforce.experiment.children import work_until_asked_to_stop
from asymreinforce.experiment.slots import ON_CPU, Slot
from asymreinforce.interruption import as_worker
from asymreinforce.progress import hush_output
from asymreinforce.rewards.scale import counting


def split_by_process(
    arms: Sequence[ExperimentConfig], *, size: int
) -> list[list[ExperimentConfig]]:
    """Cut arms into lists of at most `size`, in order; a sharded arm has a list to itself."""
    arms_by_process: list[list[ExperimentConfig]] = []
    unfilled: dict[str, list[ExperimentConfig]] = {}
    for arm in arms:
        key = _process_key(arm)
        process_arms = unfilled.get(key)
        if arm.train.is_sharded or process_arms is None or len(process_arms) >= size:
            process_arms = []
            arms_by_process.append(process_arms)
            if not arm.train.is_sharded:
                unfilled[key] = process_arms
        process_arms.append(arm)
    return arms_by_process


def run_in_processes(arms: Sequence[ExperimentConfig], *, size: int, slots: Sequence[Slot]) -> None:
    """Train arms, up to `size` in one process of a slot; write failures to arms' directories."""
    arms_by_process = split_by_process(arms, size=size)
    if slots[:1] == [ON_CPU] and 1 in (len(slots), len(arms_by_process)):
        # a single child on the CPU would only add another start-up
        for process_arms in arms_by_process:
            run_process_arms(process_arms)
        return
    work_until_asked_to_stop(
        run_process_arms, arms_by_process, slots=slots, lost="an arm was not trained to its end"
    )


def run_process_arms(process_arms: Sequence[ExperimentConfig]) -> None:
    """Train arms side by side in this process, which may be a child of the command."""
    with hush_output():
        as_worker(
            lambda: (
                run_arms_side_by_side(process_arms)
                if len(process_arms) > 1
                else run_arm(process_arms[0])
            )
        )


def _process_key(arm: ExperimentConfig) -> str:
    train = arm.train
    step: list[Any] = [arm.seed, arm.optim.trajectories_per_step, train.device, train.threads]
    if train.validation_prompts:  # all arms of a process share one validation
        sampled = arm.model_dump(mode="json", include={"evaluation": {"sampling"}, "engine": True})
        step += [train.validation_prompts, sampled, counting(arm.reward)]
    return json.dumps([determines.key_of(arm, determines.VERDICTS), step], sort_keys=True)
