"""The stores of rollouts and verdicts, for generated and imported rollouts alike."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.experiment import IMPORTED
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.experiment.shard_workers import scoring_workers
from asymreinforce.grading.graders import identify
from asymreinforce.grading.questions import require_usable
from asymreinforce.stages.score import Scored, score, verdict_store


class RolloutSet(NamedTuple):
    """Rollouts, their prompts, and the behaviour policy that training starts from."""

    checkpoint: Path
    prompts: Store
    rollouts: Store


def graded_verdicts(
    config: ExperimentConfig, rollout_set: RolloutSet, grader: str | None = None
) -> Store:
    """Return the store of a grader's verdicts on a set of rollouts; the store may be empty.

    The default grader is the task's.
    """
    return verdict_store(
        rollouts=rollout_set.rollouts,
        prompts=rollout_set.prompts.path("train.parquet"),
        parent=config.directory / "verdicts",
        grader=grader or config.task.grader,
        reward=config.reward,
        pinned=_pinned(config, grader),
    )


def score_rollouts(
    config: ExperimentConfig, rollout_set: RolloutSet, grader: str | None = None
) -> Scored:
    """Let a grader judge those rollouts of a set that it has not judged yet.

    The default grader is the task's.
    """
    prompts = rollout_set.prompts.path("train.parquet")
    if grader:
        questions = contracts.read_table(prompts, contracts.PROMPTS)
        require_usable(grader, [questions], where=prompts, setting="reward.graders")
    return score(
        rollouts=rollout_set.rollouts,
        prompts=prompts,
        parent=config.directory / "verdicts",
        grader=grader or config.task.grader,
        reward=config.reward,
        samples=config.group_size,
        pinned=_pinned(config, grader),
        crew=scoring_workers(config),
    )


def _pinned(config: ExperimentConfig, grader: str | None) -> Path | None:
    """Return the place of pinned verdicts; only the task's grader has pinned verdicts."""
    return config.pins.verdicts if grader in (None, config.task.grader) else None


def further_graders(config: ExperimentConfig, own: Store) -> list[str]:
    """Return the names in `reward.graders` without the grader whose verdicts are `own`."""
    return [name for name in config.reward.graders if name != own.identity["grader"]["name"]]


def require_graders(config: ExperimentConfig) -> None:
    """Raise `ConfigError` if `reward.graders` names a grader that does not exist."""
    for name in config.reward.graders:
        if name != IMPORTED:
            identify(name, setting="reward.graders")


def require_shards(
    store: Store, what: str, stage: str, *, shards: Sequence[str] | None = None
) -> None:
    """Raise `InputError` if one of `shards` (by default all planned ones) is not published."""
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
