"""Inputs whose rollouts an engine generates: the policy answers a task's questions.

This module is a `RolloutSource`; the docstrings of that class describe each function.
"""

from pathlib import Path

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.shard_names import first_shards
from asymreinforce.data.store import Store
from asymreinforce.engines.protocol import Engine
from asymreinforce.experiment.cleanup import remove_if_refused
from asymreinforce.experiment.inputs.policy import find_policy, prepare_policy, require_policy
from asymreinforce.experiment.inputs.questions import prepare_prompts
from asymreinforce.experiment.inputs.stores import RolloutSet, graded_verdicts, require_shards
from asymreinforce.experiment.running import Engines
from asymreinforce.experiment.shard_workers import generation_workers
from asymreinforce.stages.generate import generate, rollout_store
from asymreinforce.stages.init import prompt_store


def run_init(config: ExperimentConfig, *, made_before: bool = False) -> tuple[Path, Store]:
    """Make the policy and the task's prompts; return the checkpoint and the prompts."""
    # the policy first: if training refuses it, no prompts are written
    checkpoint = prepare_policy(config)
    require_policy(config, checkpoint)
    return checkpoint, prepare_prompts(config, made_before=made_before)


def find_init(config: ExperimentConfig) -> tuple[Path, Store]:
    """Return the policy and the task's prompts."""
    prompts = prompt_store(
        config.task, config.directory / "prompts", pinned=config.pins.prompts, made_before=True
    )
    require_shards(prompts, "prompts", "init")
    return find_policy(config, stage="init"), prompts


def prepare_rollouts(config: ExperimentConfig, *, engine: Engine | None = None) -> Store:
    """Generate the missing rollouts with `engine`, or with a new engine if `engine` is None."""
    checkpoint, prompts = find_init(config)
    parent = config.directory / "rollouts"
    store = rollout_store(config, checkpoint=checkpoint, prompts=prompts, parent=parent)
    with Engines() as engines, remove_if_refused(store):
        return generate(
            config,
            checkpoint=checkpoint,
            prompts=prompts,
            engine=engine or engines.of(config),
            parent=parent,
            **generation_workers(config),
        )


def find_rollouts(config: ExperimentConfig) -> RolloutSet:
    """Return the rollouts; the first `sampling.samples_per_prompt` of each prompt must exist."""
    checkpoint, prompts = find_init(config)
    parent = config.directory / "rollouts"
    rollouts = rollout_store(config, checkpoint=checkpoint, prompts=prompts, parent=parent)
    shards = first_shards(rollouts, samples=config.sampling.samples_per_prompt)
    require_shards(rollouts, "rollouts", "generate", shards=shards)
    return RolloutSet(checkpoint, prompts, rollouts)


def require_trainable(config: ExperimentConfig, rollouts: Store) -> None:
    """Do nothing: the config checked the group size, and engines write log-probabilities."""


def needs_grader(config: ExperimentConfig, rollouts: Store) -> bool:
    """Return True, because generated rollouts come without verdicts."""
    return True


def find_verdicts(
    config: ExperimentConfig, rollout_set: RolloutSet, grader: str | None = None
) -> Store:
    """Return the store of a grader's verdicts, which may be empty."""
    return graded_verdicts(config, rollout_set, grader)
