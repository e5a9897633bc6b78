"""The inputs that all arms of a sweep share: prompts, behaviour policy, rollouts, verdicts.

`prepare_inputs` makes what is missing; `find_inputs` asks that everything is there. Both name the
same directories: a set of inputs is a function of the configuration.
"""

import contextlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from asymreinforce.config import ExperimentConfig, Split
from asymreinforce.data import contracts
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.shard_names import first_shards
from asymreinforce.data.store import Store
from asymreinforce.engines import open_engine
from asymreinforce.engines.protocol import Engine
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.experiment import imported
from asymreinforce.experiment.cleanup import remove_if_refused
from asymreinforce.experiment.shard_workers import generation_workers, scoring_workers
from asymreinforce.grading.golds import require_usable
from asymreinforce.model.checkpoint import checkpoint_fingerprint, require_whole_checkpoint
from asymreinforce.progress import say
from asymreinforce.stages.generate import generate, rollout_store
from asymreinforce.stages.init import (
    CHECKPOINT,
    make_policy,
    make_prompts,
    policy_store,
    prompt_store,
)
from asymreinforce.stages.score import score, verdict_store


class Inputs(NamedTuple):
    """What training reads."""

    checkpoint: Path
    prompts: Store
    scored: ScoredRollouts


def engine_log(config: ExperimentConfig) -> Path:
    """The file that takes what the engine's library prints."""
    return config.directory / "logs" / "engine.log"


def run_init(config: ExperimentConfig, *, made_before: bool = False) -> tuple[Path, Store]:
    """Lay out prompts and behaviour policy; return the checkpoint and the store of prompts.

    `made_before`: prompts that are there serve where their data is not on this machine.
    Raises `InputError` if there is no whole checkpoint at `policy.source`, and `ConfigError` if
    training would refuse its architecture; no prompt is written then.
    """
    if config.is_foreign:
        if Path(config.policy.source).exists():
            require_policy(config, Path(config.policy.source))
        prompts = imported.run_import(config).prompts
        return find_init(config)[0], prompts
    policy = policy_store(config.policy, config.directory / "policy", threads=config.train.threads)
    with remove_if_refused(policy):
        checkpoint = make_policy(config, config.directory / "policy")
        checkpoint_fingerprint(checkpoint, safetensors_only=config.policy.safetensors_only)
        require_policy(config, checkpoint)
    parent = config.directory / "prompts"
    pinned = config.pins.prompts
    store = prompt_store(config.task, parent, pinned=pinned, made_before=made_before)
    with remove_if_refused(store):
        prompts = make_prompts(config.task, parent, pinned=pinned, made_before=made_before)
    return checkpoint, prompts


def require_policy(config: ExperimentConfig, checkpoint: Path) -> None:
    """Raise for a checkpoint that is not whole, or that training refuses, before it is sampled.

    Only headers and `config.json` are read. The embedded policy is one of those that train.
    """
    if config.policy.source == "embedded" or importlib.util.find_spec("transformers") is None:
        return
    from asymreinforce.update.trainable import require_trainable_checkpoint

    trusted = config.policy.trust_remote_code
    require_whole_checkpoint(checkpoint, trust_remote_code=trusted)
    require_trainable_checkpoint(checkpoint, config)


def find_init(config: ExperimentConfig) -> tuple[Path, Store]:
    """Return what `init` made; raise `InputError` where it did not run."""
    if config.is_foreign:
        checkpoint = find_policy(config)
        return checkpoint, imported.find_imported(config, checkpoint=checkpoint).prompts
    prompts = prompt_store(
        config.task, config.directory / "prompts", pinned=config.pins.prompts, made_before=True
    )
    _require_shards(prompts, "prompts", "init")
    return find_policy(config), prompts


def find_policy(config: ExperimentConfig) -> Path:
    """Return the behaviour policy's checkpoint; raise `InputError` where `init` did not run."""
    if config.policy.source != "embedded":
        return make_policy(config, config.directory / "policy")
    policy = policy_store(config.policy, config.directory / "policy", threads=config.train.threads)
    _require_shards(policy, "behaviour policy", "import" if config.is_foreign else "init")
    return policy.path(CHECKPOINT)


def run_generate(config: ExperimentConfig, *, engine: Engine | None = None) -> Store:
    """Generate rollouts with the configured engine, or with one that runs already."""
    if config.is_foreign:
        raise ConfigError("source.path is set: rollouts are imported ('asymrl import'), none made")
    checkpoint, prompts = find_init(config)
    parent = config.directory / "rollouts"
    opened = (
        contextlib.nullcontext(engine)
        if engine
        else open_engine(config.engine, config.policy, log=engine_log(config))
    )
    with opened as started:
        store = rollout_store(config, checkpoint=checkpoint, prompts=prompts, parent=parent)
        with remove_if_refused(store):
            return generate(
                config,
                checkpoint=checkpoint,
                prompts=prompts,
                engine=started,
                parent=parent,
                **generation_workers(config),
            )


def find_rollouts(config: ExperimentConfig) -> tuple[Path, Store, Store]:
    """Return checkpoint, prompts and rollouts; raise `InputError` where a stage did not run."""
    checkpoint, prompts = find_init(config)
    if config.is_foreign:
        rollouts = imported.find_imported(config, checkpoint=checkpoint).rollouts
        _require_shards(rollouts, "rollouts", "import")
        return checkpoint, prompts, rollouts
    parent = config.directory / "rollouts"
    rollouts = rollout_store(config, checkpoint=checkpoint, prompts=prompts, parent=parent)
    samples = config.sampling.samples_per_prompt
    _require_shards(
        rollouts, "rollouts", "generate", shards=first_shards(rollouts, samples=samples)
    )
    return checkpoint, prompts, rollouts


def run_score(config: ExperimentConfig) -> Store:
    """Score the rollouts that the settings name, and say what they look like."""
    _, prompts, rollouts = find_rollouts(config)
    scored = score(
        rollouts=rollouts,
        prompts=prompts.path("train.parquet"),
        parent=config.directory / "verdicts",
        grader=config.task.grader,
        reward=config.reward,
        samples=None if config.is_foreign else config.sampling.samples_per_prompt,
        pinned=config.pins.verdicts,
        crew=scoring_workers(config),
    )
    say(scored.facts.line)
    return scored.store


def find_inputs(config: ExperimentConfig) -> Inputs:
    """Return what training reads; raise `InputError` that names the stage which did not run."""
    checkpoint, prompts, rollouts = find_rollouts(config)
    if config.is_foreign:
        imported.require_groups(config, rollouts)
        imported.require_log_probabilities(config, rollouts)
    verdicts = find_verdicts(config, checkpoint=checkpoint, prompts=prompts, rollouts=rollouts)
    samples = config.sampling.samples_per_prompt
    _require_shards(verdicts, "verdicts", "score", shards=first_shards(rollouts, samples=samples))
    return Inputs(checkpoint, prompts, ScoredRollouts(rollouts, verdicts, samples=samples))


def find_verdicts(
    config: ExperimentConfig, *, checkpoint: Path, prompts: Store, rollouts: Store
) -> Store:
    """Return the store of the verdicts that train: the grader's, or those that were imported."""
    if config.is_foreign and imported.trains_on_imported_verdicts(config, rollouts):
        return imported.find_imported(config, checkpoint=checkpoint).verdicts
    return verdict_store(
        rollouts=rollouts,
        prompts=prompts.path("train.parquet"),
        parent=config.directory / "verdicts",
        grader=config.task.grader,
        reward=config.reward,
        pinned=config.pins.verdicts,
    )


def prepare_inputs(config: ExperimentConfig, *, engine: Engine | None = None) -> Inputs:
    """Do whatever is missing of init, generate and score; what is there is left alone.

    Rollouts come from the configured engine, or from one that runs already.
    """
    run_init(config, made_before=True)
    require_gradable(config, find_init(config)[1])  # before rollouts are paid for
    if not config.is_foreign:
        run_generate(config, engine=engine)
        run_score(config)
    elif not imported.trains_on_imported_verdicts(config, find_rollouts(config)[2]):
        run_score(config)
    return find_inputs(config)


UNGRADED: dict[Split, str] = {
    "train": "evaluation.train_prompts=0 evaluates no training questions",
    "validation": "train.validation_prompts=0 chooses no checkpoint",
    "held_out": "evaluation.prompts=0 trains without evaluation",
}
"""How to go on without the questions of a split."""


def require_gradable(config: ExperimentConfig, prompts: Store) -> None:
    """Raise `InputError` if validation or evaluation could grade nothing, before anything trains.

    That is a split without a question, or whose gold answers the grader cannot use.
    """
    for split, count in config.graded_questions.items():
        path = prompts.path(f"{split}.parquet")
        questions = contracts.read_table(path, contracts.PROMPTS).slice(0, count)
        if not len(questions):
            raise InputError(f"{path}: holds no prompt; {UNGRADED[split]}")
        try:
            require_usable(config.task.grader, [questions], where=path)
        except InputError as error:
            raise InputError(f"{error}; {UNGRADED[split]}") from None


def _require_shards(
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
