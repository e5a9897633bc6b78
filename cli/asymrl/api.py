"""The command line's commands as typed functions, and an experiment's files as pandas tables.

    import asymrl

    arms = asymrl.load_arms("name=first", "baseline=-0.1,0.1", "seed=0,1")
    directory = asymrl.run_sweep(arms)
    asymrl.results(directory)

What goes wrong is an `asymreinforce.errors.AsymreinforceError`, whose message says how to mend it.
docs/reference/python.md describes every table.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import AsymreinforceError, ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    import pandas as pd
    import pyarrow as pa

    from asymrl.remembered import Asked

Stage = Literal["init", "import", "generate", "score", "train", "evaluate"]
Where = ExperimentConfig | Path | str
"""An experiment: its configuration, or its directory."""

_ASKED: "dict[Path, Asked]" = {}
"""What was last loaded for an experiment's directory, to be remembered there once it is made."""


def load(*words: str) -> ExperimentConfig:
    """Compose a configuration from what stands behind a command: a file, and KEY=VALUE settings.

    Settings that `runs/<name>` was made with come back with `name=` alone, and `auto` becomes what
    it means on this machine. Raises `ConfigError` if a setting is unknown, out of its range, or has
    several values.
    """
    arms = load_arms(*words)
    if len(arms) != 1:
        raise ConfigError(
            f"{' '.join(words)}: these are {len(arms)} configurations, where one is asked for; "
            "load_arms takes several"
        )
    return arms[0]


def load_arms(*words: str) -> list[ExperimentConfig]:
    """Compose a configuration for each combination of comma-separated values; see `load`."""
    from asymrl.compose import compose_arms
    from asymrl.devices import trained_here
    from asymrl.overrides import prepared

    overrides, asked = prepared("sweep", words)
    arms = trained_here(compose_arms(overrides))
    _ASKED.update({arm.directory: asked for arm in arms})
    return arms


def run_stage(stage: Stage, config: ExperimentConfig) -> Path:
    """Run a stage, as the command of its name does; return the directory that holds its results.

    What is complete already is left as it is. Raises `ConfigError` if there is no such stage, and
    `InputError` if the stage before it has not run.
    """
    if stage not in get_args(Stage):
        raise ConfigError(f"{stage}: no such stage; there are {', '.join(get_args(Stage))}")
    _limit_threads()
    with _kept([config]):
        return _run_stage(stage, config)


def _run_stage(stage: Stage, config: ExperimentConfig) -> Path:
    from asymreinforce.experiment import arm, inputs
    from asymreinforce.experiment.inputs import imported

    if stage == "init":
        return inputs.run_init(config)[1].directory
    if stage == "import":
        imported.say_imported(config, imported.run_import(config))
        return config.directory
    if stage == "generate":
        return inputs.run_generate(config).directory
    if stage == "score":
        return inputs.run_score(config).directory
    if stage == "train":
        return arm.train_arm(config).directory
    from asymreinforce.experiment.evaluation import run_evaluation
    from asymreinforce.experiment.summary import write_summary

    write_summary(config, run_evaluation(config))
    return config.directory


def run_sweep(arms: "Sequence[ExperimentConfig]") -> Path:
    """Train and evaluate arms on one set of rollouts, sum up, and write the page.

    Inputs that are missing are made first, and arms that are complete are left as they are. Returns
    the experiment's directory. Raises `ConfigError` if the arms do not belong to one sweep, and
    `AsymreinforceError` at the end if some of them failed: the others are summed up all the same.
    """
    if not arms:
        raise ConfigError("a sweep needs an arm; load_arms('seed=0,1') makes two")
    _limit_threads()
    from asymrl.launching import sweep_arms
    from asymrl.reporting import report_sweep

    config = arms[0]
    with _kept(arms):
        result = sweep_arms(arms)
    if result.is_reportable and config.sweep.report:
        report_sweep(config)
    if result.failed:
        lines = "\n".join(f"  arm {failed.arm}: {failed.error}" for failed in result.failed)
        raise AsymreinforceError(f"{len(result.failed)} of {len(arms)} arms failed:\n{lines}")
    return config.directory


def write_report(experiment: Where) -> Path:
    """Write the page of an experiment with its figures; return the page."""
    from asymreinforce.report.write import write_report as write

    return write(_directory(experiment))


def results(experiment: Where, *, against: str | None = None) -> "pd.DataFrame":
    """Return a row a setting with intervals, as `asymrl report --csv` prints them.

    `against` names the setting that others are compared with; by default the baseline nearest 0.
    """
    from asymreinforce.report.export import setting_columns, setting_rows
    from asymreinforce.report.read import read_report

    report = read_report(_directory(experiment), against=against)
    return _pandas().DataFrame(setting_rows(report), columns=list(setting_columns(report)))


def summary(experiment: Where) -> "pd.DataFrame":
    """Return a row an arm: where it ended, its peak, and its verdict."""
    from asymreinforce.data import contracts

    return _table(experiment, "summary.parquet", contracts.SUMMARY)


def curves(experiment: Where) -> "pd.DataFrame":
    """Return a row an evaluated checkpoint: split, step, accuracy and what else was measured."""
    from asymreinforce.data import contracts

    return _table(experiment, "curves.parquet", contracts.CURVES)


def suites(experiment: Where) -> "pd.DataFrame":
    """Return a row an arm, a benchmark and a checkpoint: avg@k, maj@k, pass@k, shares of 1."""
    from asymreinforce.data import contracts

    return _table(experiment, "suites.parquet", contracts.SUITES)


def rollouts(experiment: Where, *, name: str | None = None) -> "pd.DataFrame":
    """Return a row a rollout of the newest set that arms share, or of the set called `name`.

    `name` may be the beginning of its directory's name below `rollouts/`.
    """
    from asymreinforce.data import contracts
    from asymreinforce.data.shard_names import published_shards
    from asymreinforce.viewing.stored import find_set

    store = find_set(_directory(experiment), rollouts=name).rollouts
    published = published_shards(store)
    if not published:
        raise InputError(f"{store.directory}: holds no rollouts yet; run 'asymrl generate'")
    return _frame(contracts.read_shards(store, published, contracts.ROLLOUTS))


def verdicts(
    experiment: Where, *, name: str | None = None, grader: str | None = None
) -> "pd.DataFrame":
    """Return a row a verdict on the rollouts of `rollouts`; both have `prompt_id` and `sample`.

    The newest verdicts are taken, or those of `grader`.
    """
    from asymreinforce.viewing.stored import all_verdicts, find_set, verdicts_of

    stored = find_set(_directory(experiment), rollouts=name)
    store = verdicts_of(stored, grader)
    if store is None:
        raise InputError(f"{stored.rollouts.directory}: has no verdicts; run 'asymrl score'")
    return _frame(all_verdicts(store))


def _kept(arms: "Sequence[ExperimentConfig]") -> "AbstractContextManager[None]":
    """Hold the arms to what their experiment was made with, or take down what it is made with."""
    from asymrl.remembered import Asked, kept

    return kept(arms, _ASKED.get(arms[0].directory, Asked([], is_named=True, is_change=False)))


def _directory(experiment: Where) -> Path:
    return experiment.directory if isinstance(experiment, ExperimentConfig) else Path(experiment)


def _table(experiment: Where, file: str, contract: Any) -> "pd.DataFrame":
    from asymreinforce.data import contracts

    path = _directory(experiment) / file
    if not path.exists():
        raise InputError(f"{path}: is not there; run 'asymrl sweep' or 'asymrl evaluate' first")
    return _frame(contracts.read_table(path, contract))


def _frame(rows: "pa.Table") -> "pd.DataFrame":
    _pandas()
    frame: pd.DataFrame = rows.to_pandas()
    return frame


def _pandas() -> Any:
    """Import pandas, which only these tables need."""
    try:
        import pandas
    except ImportError as error:
        raise ConfigError(
            f"tables need pandas, which is not installed ({error}); run 'pip install pandas'"
        ) from error
    return pandas


def _limit_threads() -> None:
    """Keep each process to one thread of torch's, as the command line does, unless it is told."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
