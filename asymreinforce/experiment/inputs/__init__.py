"""The inputs that all arms of a sweep share: prompts, behaviour policy, rollouts, verdicts.

`prepare_inputs` makes the inputs that are missing; `find_inputs` raises if one is missing. Both
use the same directories, because the configuration determines the inputs. Rollouts come from an
engine (`generated.py`) or from a file (`imported.py`); only `rollout_source` chooses between them.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.experiment import IMPORTED
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.shard_names import first_shards
from asymreinforce.data.store import Store
from asymreinforce.engines.protocol import Engine
from asymreinforce.errors import ConfigError
from asymreinforce.experiment.inputs import generated, imported
from asymreinforce.experiment.inputs.questions import prepare_suites, require_gradable
from asymreinforce.experiment.inputs.stores import (
    RolloutSet,
    further_graders,
    require_graders,
    require_shards,
    score_rollouts,
)
from asymreinforce.progress import say
from asymreinforce.rewards.warnings import of_verdicts, warnings
from asymreinforce.stages.score import facts_of

__all__ = [
    "Inputs",
    "RolloutSource",
    "find_init",
    "find_inputs",
    "prepare_inputs",
    "prepare_suites",
    "require_generated",
    "require_gradable",
    "require_graders",
    "rollout_source",
    "run_generate",
    "run_init",
    "run_score",
    "warnings_on_verdicts",
]


class Inputs(NamedTuple):
    """The inputs of training: the behaviour policy, the prompts, and scored rollouts."""

    checkpoint: Path
    prompts: Store
    scored: ScoredRollouts


class RolloutSource(Protocol):
    """A source of rollouts; there are two, the modules `generated` and `imported`.

    The functions `find_...` raise `InputError` that names the stage which did not run.
    """

    def run_init(
        self, config: ExperimentConfig, *, made_before: bool = False
    ) -> tuple[Path, Store]:
        """Make the behaviour policy and the prompts; return the checkpoint and the prompts."""

    def find_init(self, config: ExperimentConfig) -> tuple[Path, Store]:
        """Return the checkpoint and the prompts that `run_init` made."""

    def prepare_rollouts(self, config: ExperimentConfig, *, engine: Engine | None = None) -> Store:
        """Return the rollouts, and generate those that are missing; the prompts exist."""

    def find_rollouts(self, config: ExperimentConfig) -> RolloutSet:
        """Return the rollouts with the policy and the prompts that they were drawn with."""

    def require_trainable(self, config: ExperimentConfig, rollouts: Store) -> None:
        """Raise `ConfigError` if the rollouts lack something that the objective needs."""

    def needs_grader(self, config: ExperimentConfig, rollouts: Store) -> bool:
        """Return True if training uses a grader's verdicts, False for imported verdicts."""

    def find_verdicts(
        self, config: ExperimentConfig, rollout_set: RolloutSet, grader: str | None = None
    ) -> Store:
        """Return the store of a grader's verdicts, which may be empty.

        By default these are the verdicts that training uses.
        """


def rollout_source(config: ExperimentConfig) -> RolloutSource:
    """Return the module that an experiment's rollouts come from."""
    return imported if config.is_foreign else generated


def run_init(config: ExperimentConfig, *, made_before: bool = False) -> tuple[Path, Store]:
    """Make the behaviour policy and the prompts; return the checkpoint and the store of prompts.

    `made_before`: use prompts that exist already if their data is not on this machine.
    Raises `InputError` if there is no whole checkpoint at `policy.source`, and `ConfigError` if
    training would refuse its architecture; no prompts are written in either case.
    """
    require_graders(config)
    made = rollout_source(config).run_init(config, made_before=made_before)
    prepare_suites(config)
    return made


def find_init(config: ExperimentConfig) -> tuple[Path, Store]:
    """Return the checkpoint and prompts of `init`; raise `InputError` if `init` did not run."""
    return rollout_source(config).find_init(config)


def run_generate(config: ExperimentConfig, *, engine: Engine | None = None) -> Store:
    """Generate rollouts with `engine`, or with a new engine of `config` if `engine` is None."""
    require_graders(config)
    require_generated(config, "rollouts are imported ('asymrl import'), none made")
    return rollout_source(config).prepare_rollouts(config, engine=engine)


def require_generated(config: ExperimentConfig, reason: str) -> None:
    """Raise `ConfigError` with the reason if rollouts are imported, and so exist already."""
    if rollout_source(config) is imported:
        raise ConfigError(f"source.path is set: {reason}")


def run_score(config: ExperimentConfig) -> Store:
    """Score the rollouts that the settings name, and print a summary of the verdicts.

    Each of `reward.graders` writes a separate store of verdicts. Returns the store of the task's
    grader.
    """
    require_graders(config)
    rollout_set = rollout_source(config).find_rollouts(config)
    scored = score_rollouts(config, rollout_set)
    say(scored.facts.line)
    _score_by_others(config, rollout_set, scored.store)
    return scored.store


def _score_by_others(config: ExperimentConfig, rollout_set: RolloutSet, own: Store) -> None:
    """Let the further graders of `reward.graders` judge the rollouts that they have not judged."""
    for name in further_graders(config, own):
        if name != IMPORTED:
            scored = score_rollouts(config, rollout_set, name)
            say(f"verdicts of {name}: {scored.store.directory}\n{scored.facts.line}")


def find_inputs(config: ExperimentConfig) -> Inputs:
    """Return the inputs of training; raise `InputError` that names a stage which did not run."""
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
    """Run those of the stages init, generate and score that are not complete; return the inputs.

    Rollouts come from `engine`, or from a new engine of `config` if `engine` is None.
    """
    source = rollout_source(config)
    source.run_init(config, made_before=True)
    # checked first, because generating rollouts is expensive
    require_gradable(config, source.find_init(config)[1])
    prepare_suites(config)
    # by now a suite whose data cannot be fetched has been reported
    rollouts = source.prepare_rollouts(config, engine=engine)
    if source.needs_grader(config, rollouts):
        run_score(config)
    elif config.reward.graders:
        rollout_set = source.find_rollouts(config)
        _score_by_others(config, rollout_set, source.find_verdicts(config, rollout_set))
    return find_inputs(config)


def warnings_on_verdicts(config: ExperimentConfig, verdicts: Store) -> list[str]:
    """Return reasons why a scored set of rollouts can teach little under any objective."""
    is_imported = rollout_source(config) is imported
    facts = of_verdicts(facts_of(verdicts), reward=config.reward, is_imported=is_imported)
    return warnings(facts)
