"""Arms that one process trains side by side: start-up once, and each step's rows read once.

A *lot* is arms of the same inputs, data order and validation, which may differ in baseline,
objective, reward scale, learning rate and the like.
"""

import json
from collections.abc import Sequence

from asymreinforce.config import ExperimentConfig
from asymreinforce.experiment.arm import run_lot
from asymreinforce.interruption import as_worker, with_workers
from asymreinforce.progress import hushed

SHARED = {"task", "source", "policy", "sampling", "engine", "pins", "evaluation", "seed"}
TRAIN = {"device", "threads", "validation_prompts"}


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


def run_lots(arms: Sequence[ExperimentConfig], *, size: int, workers: int) -> None:
    """Train lots in `workers` processes; each arm's failure is recorded in its directory."""
    import joblib

    lots = lots_of(arms, size=size)
    workers = min(workers, len(lots))
    if workers == 1:
        for lot in lots:
            _run(lot)
        return
    with with_workers():
        joblib.Parallel(n_jobs=workers)(joblib.delayed(_run)(lot) for lot in lots)


def _run(lot: list[ExperimentConfig]) -> None:
    with hushed():
        as_worker(lambda: run_lot(lot))


def _key(arm: ExperimentConfig) -> str:
    shared = arm.model_dump(mode="json", include=SHARED)
    shared["train"] = arm.train.model_dump(mode="json", include=TRAIN)
    shared["step"] = arm.optim.trajectories_per_step
    shared["correct_at"] = arm.reward.correct_at  # what validation counts as correct
    return json.dumps(shared, sort_keys=True)
