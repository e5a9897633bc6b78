"""The stores that the stages of a set of inputs fill, whatever its rollouts come from."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.experiment.shard_workers import scoring_workers
from asymreinforce.stages.score import Scored, score, verdict_store


class RolloutSet(NamedTuple):
    """Rollouts, the behaviour policy that training starts from, and the questions."""

    checkpoint: Path
    prompts: Store
    rollouts: Store


def graded_verdicts(config: ExperimentConfig, rollout_set: RolloutSet) -> Store:
    """Return the store of the grader's verdicts on a set of rollouts, made or not."""
    return verdict_store(
        rollouts=rollout_set.rollouts,
        prompts=rollout_set.prompts.path("train.parquet"),
        parent=config.directory / "verdicts",
        grader=config.task.grader,
        reward=config.reward,
        pinned=config.pins.verdicts,
    )


def score_rollouts(config: ExperimentConfig, rollout_set: RolloutSet) -> Scored:
    """Let the grader judge what it has not judged of a set of rollouts."""
    return score(
        rollouts=rollout_set.rollouts,
        prompts=rollout_set.prompts.path("train.parquet"),
        parent=config.directory / "verdicts",
        grader=config.task.grader,
        reward=config.reward,
        samples=config.group_size,
        pinned=config.pins.verdicts,
        crew=scoring_workers(config),
    )


def require_shards(
    store: Store, what: str, stage: str, *, shards: Sequence[str] | None = None
) -> None:
    """Ask that the given shards of a store are published, or all that are planned."""
    advice = f"run 'asymrl {stage}' with the same settings first"
    if not store.planned:
        raise InputError(f"no {what} for these settings ({store.directory} is absent); {advice}")
    wanted = store.planned if shards is None else shards
    absent = [name for name in wanted if store.receipt(name) is None]
    if absent:
        raise InputError(
            f"{store.directory}: {len(absent)} of {len(wanted)} shards of the {what} are not "
            f"there; {advice}, it fills what is missing"
        )
