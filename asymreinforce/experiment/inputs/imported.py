"""Inputs whose rollouts are imported once and found again under the same settings.

This module is a `RolloutSource`; the docstrings of that class describe each function.
"""

from pathlib import Path

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.experiment import IMPORTED
from asymreinforce.data.store import Store
from asymreinforce.engines.protocol import Engine
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.experiment.cleanup import remove_if_refused
from asymreinforce.experiment.inputs.policy import find_policy, prepare_policy, require_policy
from asymreinforce.experiment.inputs.stores import RolloutSet, graded_verdicts, require_shards
from asymreinforce.imported import Imported, Stores, facts_of, import_rollouts, import_stores
from asymreinforce.progress import say


def run_import(config: ExperimentConfig) -> Stores:
    """Import the rollouts; make or fetch the policy first, because its tokenizer is needed."""
    if config.source.path is None:
        raise ConfigError("asymrl import needs source.path=FILE, the rollouts to bring in")
    checkpoint = prepare_policy(config)
    planned = import_stores(config, checkpoint=checkpoint)
    with remove_if_refused(*planned):
        return import_rollouts(config, checkpoint=checkpoint)


def find_imported(config: ExperimentConfig, *, checkpoint: Path) -> Stores:
    """Return the stores of `run_import`; raise `InputError` if `run_import` did not run."""
    import_paths = import_stores(config, checkpoint=checkpoint)
    if not (import_paths.prompts.planned and import_paths.rollouts.facts):
        raise InputError(
            f"no imported rollouts for these settings ({import_paths.rollouts.directory}); "
            "run 'asymrl import' with the same settings first"
        )
    return import_paths


def run_init(config: ExperimentConfig, *, made_before: bool = False) -> tuple[Path, Store]:
    """Import the rollouts with their prompts, unless training would refuse the policy."""
    if Path(config.policy.source).exists():
        require_policy(config, Path(config.policy.source))
    prompts = run_import(config).prompts
    return find_policy(config, stage="import"), prompts


def find_init(config: ExperimentConfig) -> tuple[Path, Store]:
    """Return the policy and the prompts that came with the rollouts."""
    checkpoint = find_policy(config, stage="import")
    return checkpoint, find_imported(config, checkpoint=checkpoint).prompts


def prepare_rollouts(config: ExperimentConfig, *, engine: Engine | None = None) -> Store:
    """Return the rollouts that were imported with their prompts; no engine is used."""
    return find_rollouts(config).rollouts


def find_rollouts(config: ExperimentConfig) -> RolloutSet:
    """Return the rollouts; raise `InputError` if a shard is missing."""
    checkpoint = find_policy(config, stage="import")
    prompts, rollouts, _ = find_imported(config, checkpoint=checkpoint)
    require_shards(rollouts, "rollouts", "import")
    return RolloutSet(checkpoint, prompts, rollouts)


def require_trainable(config: ExperimentConfig, rollouts: Store) -> None:
    """Raise `ConfigError` if the rollouts lack groups or log-probabilities that training needs."""
    require_groups(config, rollouts)
    require_log_probabilities(config, rollouts)


def needs_grader(config: ExperimentConfig, rollouts: Store) -> bool:
    """Return True if imported verdicts are absent or not used for training.

    Raises `ConfigError` if `source.verdicts` is "imported" and no row has a reward.
    """
    rewarded, rows = rollouts.facts["rewarded"], rollouts.facts["rows"]
    if config.source.verdicts == "imported" and not rewarded:
        raise ConfigError(
            "source.verdicts=imported, but no row came with a reward; name their column "
            "(source.columns.reward=NAME), or use source.verdicts=graded and 'asymrl score'"
        )
    if config.source.verdicts is None:
        # by default, imported rewards train only if every row has one
        return bool(rewarded != rows)
    return config.source.verdicts == "graded"


def find_verdicts(
    config: ExperimentConfig, rollout_set: RolloutSet, grader: str | None = None
) -> Store:
    """Return the store of imported verdicts, or of a grader's verdicts, which may be empty."""
    is_graded = grader != IMPORTED if grader else needs_grader(config, rollout_set.rollouts)
    if is_graded:
        return graded_verdicts(config, rollout_set, grader)
    if grader and not rollout_set.rollouts.facts["rewarded"]:
        raise ConfigError(
            f"reward.graders names {IMPORTED}, but no row came with a reward; name their column "
            "(source.columns.reward=NAME), or leave it out"
        )
    return find_imported(config, checkpoint=rollout_set.checkpoint).verdicts


def describe_import(config: ExperimentConfig, stores: Stores) -> list[str]:
    """Return a few lines on what was imported and which verdicts training will use."""
    facts = facts_of(stores.rollouts)
    size = f"{facts.smallest_group}"
    if facts.largest_group != facts.smallest_group:
        size += f" to {facts.largest_group}"
    lines = [
        f"{facts.rows} rollouts of {facts.prompts} prompts ({size} of a prompt), "
        f"{facts.truncated} cut off, {facts.held_back} of held-back prompts left out",
        "policies: " + ", ".join(f"{name} {rows}" for name, rows in facts.policies.items()),
        f"log-probabilities: {_of_all(facts.with_logps, facts)}; AsymRE needs none",
        _verdicts_line(config, stores, facts),
    ]
    if facts.groups_of_one and config.baseline_reference == "group_mean":
        lines.append(
            f"warning: {facts.groups_of_one} of {facts.prompts} prompts have one rollout, which is "
            "its own mean, so its advantage is -baseline; baseline_reference=dataset_mean or zero "
            "gives it another"
        )
    return lines


def _verdicts_line(config: ExperimentConfig, stores: Stores, facts: Imported) -> str:
    if not facts.rewarded:
        return "rewards: none; run 'asymrl score' with the same settings"
    line = f"rewards: {_of_all(facts.rewarded, facts)}, mean {facts.mean_reward:.4f}"
    if needs_grader(config, stores.rollouts):
        return (
            f"{line}; training takes the grader's verdicts, run 'asymrl score' with these settings"
        )
    return (
        f"{line}; training takes them (correct from {config.reward.correct_at:g} on, "
        "reward.correct_at); source.verdicts=graded and 'asymrl score' judge anew"
    )


def require_log_probabilities(config: ExperimentConfig, rollouts: Store) -> None:
    """Raise `ConfigError` if the objective needs mu's log-probabilities and some are unknown."""
    from asymreinforce.algorithm.table import objective_of

    needs = objective_of(config.algorithm, baseline_reference=config.baseline_reference)
    unknown = rollouts.facts["rows"] - rollouts.facts["with_logps"]
    if needs.needs_behaviour_logps and unknown:
        raise ConfigError(
            f"algorithm={config.algorithm.name} needs the log-probabilities of the policy that "
            f"wrote the rollouts, but {unknown} of {rollouts.facts['rows']} imported ones have "
            "none; name their column (source.columns.logps=NAME), or use algorithm=asymre, which "
            "needs none"
        )


def require_groups(config: ExperimentConfig, rollouts: Store) -> None:
    """Raise `ConfigError` if the reference needs two samples and some prompts have one."""
    alone = rollouts.facts["groups_of_one"]
    if config.baseline_reference == "leave_one_out" and alone:
        raise ConfigError(
            f"baseline_reference=leave_one_out needs two rollouts of each prompt, but {alone} of "
            f"{rollouts.facts['prompts']} prompts have one; use another baseline_reference"
        )


def _of_all(count: int, facts: Imported) -> str:
    return "none" if not count else f"{count} of {facts.rows} rollouts"


def say_imported(config: ExperimentConfig, stores: Stores) -> None:
    """Print the directory of the import and what was imported."""
    say(f"rollouts: {stores.rollouts.directory}")
    for line in describe_import(config, stores):
        say(line)
