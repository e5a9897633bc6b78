"""The inputs that all arms of a sweep share: prompts, behaviour policy, rollouts, verdicts.

`prepare_inputs` makes what is missing; `find_inputs` asks that everything is there. Both name the
same directories: a set of inputs is a function of the configuration. Rollouts come from an engine
(`generated.py`) or from a file (`imported.py`); `rollout_source` alone chooses which.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.experiment import IMPORTED
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.shard_names import first_shards
from asymreinforce.data.store import Store
from asymreinforce.engines.protocol import Engine
from asymreinforce.experiment.inputs import generated, imported
from asymreinforce.experiment.inputs.generated import engine_log
from asymreinforce.experiment.inputs.gradable import require_gradable
from asymreinforce.experiment.inputs.stores import (
    RolloutSet,
    further_graders,
    require_graders,
    require_shards,
    score_rollouts,
)
from asymreinforce.experiment.inputs.suites import prepare_suites
from asymreinforce.progress import say
from asymreinforce.rewards.warnings import of_verdicts, warnings
from asymreinforce.stages.score import facts_of

__all__ = [
    "Inputs",
    "RolloutSource",
    "engine_log",
    "find_init",
    "find_inputs",
    "prepare_inputs",
    "prepare_suites",
    "require_gradable",
    "require_graders",
    "rollout_source",
    "run_generate",
    "run_init",
    "run_score",
    "warnings_on_verdicts",
]


class Inputs(NamedTuple):
    """What training reads."""

    checkpoint: Path
    prompts: Store
    scored: ScoredRollouts


class RolloutSource(Protocol):
    """Where rollouts come from: the modules `generated` and `imported` are the two there are.

    What finds raises `InputError` that names the stage which did not run.
    """

    IS_IMPORTED: bool
    """Which advice fits: change the settings of generation, or bring other rollouts."""

    def run_init(
        self, config: ExperimentConfig, *, made_before: bool = False
    ) -> tuple[Path, Store]:
        """Make the behaviour policy and the prompts; return the checkpoint and the prompts."""

    def find_init(self, config: ExperimentConfig) -> tuple[Path, Store]:
        """Return what `run_init` made."""

    def require_generated(self, reason: str) -> None:
        """Raise `ConfigError` with the reason if rollouts are not to be generated."""

    def prepare_rollouts(self, config: ExperimentConfig, *, engine: Engine | None = None) -> Store:
        """Return the rollouts, whose prompts are there; they are made if that can be."""

    def find_rollouts(self, config: ExperimentConfig) -> RolloutSet:
        """Return the rollouts, and what they were drawn with."""

    def require_trainable(self, config: ExperimentConfig, rollouts: Store) -> None:
        """Raise `ConfigError` if the objective asks for what the rollouts lack."""

    def needs_grader(self, config: ExperimentConfig, rollouts: Store) -> bool:
        """Tell whether a grader's verdicts train, or those that came with the rollouts."""

    def find_verdicts(
        self, config: ExperimentConfig, rollout_set: RolloutSet, grader: str | None = None
    ) -> Store:
        """Return the store of a grader's verdicts, made or not: by default of those that train."""


def rollout_source(config: ExperimentConfig) -> RolloutSource:
    """Choose where an experiment's rollouts come from."""
    return imported if config.is_foreign else generated


def run_init(config: ExperimentConfig, *, made_before: bool = False) -> tuple[Path, Store]:
    """Lay out prompts and behaviour policy; return the checkpoint and the store of prompts.

    `made_before`: prompts that are there serve where their data is not on this machine.
    Raises `InputError` if there is no whole checkpoint at `policy.source`, and `ConfigError` if
    training would refuse its architecture; no prompt is written then.
    """
    require_graders(config)
    made = rollout_source(config).run_init(config, made_before=made_before)
    prepare_suites(config)
    return made


def find_init(config: ExperimentConfig) -> tuple[Path, Store]:
    """Return what `init` made; raise `InputError` where it did not run."""
    return rollout_source(config).find_init(config)


def run_generate(config: ExperimentConfig, *, engine: Engine | None = None) -> Store:
    """Generate rollouts with the configured engine, or with one that runs already."""
    require_graders(config)
    source = rollout_source(config)
    source.require_generated("rollouts are imported ('asymrl import'), none made")
    return source.prepare_rollouts(config, engine=engine)


def run_score(config: ExperimentConfig) -> Store:
    """Score the rollouts that the settings name, and say what they look like.

    Each of `reward.graders` gives verdicts of its own; those of the task's grader are returned.
    """
    require_graders(config)
    rollout_set = rollout_source(config).find_rollouts(config)
    scored = score_rollouts(config, rollout_set)
    say(scored.facts.line)
    _score_by_others(config, rollout_set, scored.store)
    return scored.store


def _score_by_others(config: ExperimentConfig, rollout_set: RolloutSet, own: Store) -> None:
    """Let the further graders of `reward.graders` judge what they have not judged."""
    for name in further_graders(config, own):
        if name != IMPORTED:
            scored = score_rollouts(config, rollout_set, name)
            say(f"verdicts of {name}: {scored.store.directory}\n{scored.facts.line}")


def find_inputs(config: ExperimentConfig) -> Inputs:
    """Return what training reads; raise `InputError` that names the stage which did not run."""
    source = rollout_source(config)
    rollout_set = source.find_rollouts(config)
    source.require_trainable(config, rollout_set.rollouts)
    verdicts = source.find_verdicts(config, rollout_set)
    samples = config.sampling.samples_per_prompt
    shards = first_shards(rollout_set.rollouts, samples=samples)
    require_shards(verdicts, "verdicts", "score", shards=shards)
    others = {
        name: source.find_verdicts(config, rollout_set, name)
        for name in further_graders(config, verdicts)
    }
    for name, store in others.items():
        require_shards(store, f"verdicts of {name}", "score", shards=shards)
    scored = ScoredRollouts(rollout_set.rollouts, verdicts, samples=samples, others=others)
    return Inputs(rollout_set.checkpoint, rollout_set.prompts, scored)


def prepare_inputs(config: ExperimentConfig, *, engine: Engine | None = None) -> Inputs:
    """Do whatever is missing of init, generate and score; what is there is left alone.

    Rollouts come from the configured engine, or from one that runs already.
    """
    source = rollout_source(config)
    source.run_init(config, made_before=True)
    require_gradable(config, source.find_init(config)[1])  # before rollouts are paid for
    prepare_suites(config)
    rollouts = source.prepare_rollouts(config, engine=engine)
    if source.needs_grader(config, rollouts):
        run_score(config)
    elif config.reward.graders:
        rollout_set = source.find_rollouts(config)
        _score_by_others(config, rollout_set, source.find_verdicts(config, rollout_set))
    return find_inputs(config)


def warnings_on_verdicts(config: ExperimentConfig, verdicts: Store) -> list[str]:
    """Return why the rollouts of a scored set can teach little, whatever trains on them."""
    is_imported = rollout_source(config).IS_IMPORTED
    return warnings(of_verdicts(facts_of(verdicts), is_imported=is_imported))
