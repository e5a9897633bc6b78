"""Parse the configurations that Hydra composes, and call the library with them.

The jobs of a launcher (`arm_job`, `collect_job`) are module-level functions, because launchers send
them to other processes by name. A `DictConfig` never leaves this file.
"""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from asymreinforce.config import ExperimentConfig, parse_config
from asymreinforce.data.store import Store
from asymreinforce.errors import ConfigError
from asymreinforce.progress import say
from asymrl.bridge import describe_error
from asymrl.named_suites import with_presets

COLLECTED: list[ExperimentConfig] = []
POLICY = (
    "policy.source: no model is named. Give the one to train, whose tokenizer reads imported "
    "rollouts as well: policy.source=DIRECTORY or a hub id such as Qwen/Qwen2.5-0.5B-Instruct; "
    "model=embedded is the tiny built-in one, which is made in a minute and can spell any text"
)


def parsed(cfg: DictConfig) -> ExperimentConfig:
    """Parse a composed configuration; `auto` is not resolved.

    Raises `ConfigError` if a value is missing, unknown or out of its range.
    """
    try:
        values: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        is_policy = error.full_key == "policy.source"
        raise ConfigError(POLICY if is_policy else describe_error(error)) from error
    except OmegaConfBaseException as error:
        raise ConfigError(describe_error(error)) from error
    if isinstance(evaluation := values.get("evaluation"), dict):
        evaluation["suites"] = with_presets(evaluation.get("suites"))
    return parse_config(values)


def init_job(config: ExperimentConfig) -> None:
    """Run `asymrl init`."""
    from asymreinforce.experiment import inputs

    checkpoint, prompts = inputs.run_init(config)
    say(f"prompts: {prompts.directory}")
    say(f"behaviour policy: {checkpoint}")


def import_job(config: ExperimentConfig) -> None:
    """Run `asymrl import`."""
    from asymreinforce.experiment.inputs import imported

    imported.say_imported(config, imported.run_import(config))


def generate_job(config: ExperimentConfig) -> None:
    """Run `asymrl generate`."""
    from asymreinforce.experiment import inputs

    store = inputs.run_generate(config)
    say(f"rollouts: {store.directory} ({_store_state(store)})")


def score_job(config: ExperimentConfig) -> None:
    """Run `asymrl score`."""
    from asymreinforce.experiment import inputs

    store = inputs.run_score(config)
    say(f"verdicts: {store.directory} ({_store_state(store)})")
    for line in inputs.warnings_on_verdicts(config, store):
        say(f"warning: {line}")


def train_job(config: ExperimentConfig) -> None:
    """Run `asymrl train`; errors are raised."""
    from asymreinforce.experiment.arm import train_arm

    store = train_arm(config)
    best = store.facts["best_step"]
    say(
        f"arm: {store.directory} ({_store_state(store)}, {store.facts['steps']} steps"
        + (f", best on validation at step {best})" if best else ")")
    )


def arm_job(cfg: DictConfig) -> None:
    """Run one arm of a sweep; an error is recorded, so that the other arms go on."""
    from asymreinforce import interruption, progress
    from asymreinforce.experiment.arm import run_arm
    from asymreinforce.model.devices import resolve_auto, this_machine

    with progress.hush_output():
        interruption.as_worker(lambda: run_arm(resolve_auto(parsed(cfg), this_machine)))


def collect_job(cfg: DictConfig) -> None:
    """Record the configuration of an arm and run nothing: the first pass of a sweep."""
    # `auto` is not resolved: only the caller knows the machine (`asymrl/launching.py`).
    COLLECTED.append(parsed(cfg))


def evaluate_job(config: ExperimentConfig) -> None:
    """Run `asymrl evaluate`; raises `InputError` at the end if the summary lacks an arm."""
    from asymreinforce.errors import InputError
    from asymreinforce.experiment.evaluation import report_passed_over, run_evaluation
    from asymreinforce.experiment.summary import write_summary
    from asymreinforce.tracking import require_tracker, track_report
    from asymrl.tables import print_suites_of, print_summary

    passed_over = report_passed_over(config)
    require_tracker(config)
    print_summary(write_summary(config, run_evaluation(config)))
    if config.evaluation.suites:
        print_suites_of(config.directory)
    track_report(config)
    if lacking := [arm for arm in passed_over if not arm.is_at_work]:
        raise InputError(
            f"{config.directory}: the summary lacks {len(lacking)} of its arms, which are named "
            "above; train them again, or delete their directories"
        )


def _store_state(store: Store) -> str:
    return "complete" if store.is_complete() else "in part"
