"""The command line's commands as typed functions, and an experiment's files as pandas tables.

    import asymrl

    arms = asymrl.load_arms("name=first", "baseline=-0.1,0.1", "seed=0,1")
    directory = asymrl.run_sweep(arms)
    asymrl.results(directory)

Errors are `asymreinforce.errors.AsymreinforceError`, whose message says how to fix the problem.
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
"""The settings last loaded for each experiment directory, written there once a stage runs."""


def load(*words: str) -> ExperimentConfig:
    """Compose a configuration from the arguments of a command: a file, and KEY=VALUE settings.

    `name=` alone brings back the settings that `runs/<name>` was made with. `auto` is resolved for
    this machine. Raises `ConfigError` if a setting is unknown, out of its range, or has several
    values.
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
    from asymrl.launching import trained_here
    from asymrl.overrides import prepared

    overrides, asked = prepared("sweep", words)
    arms = trained_here(compose_arms(overrides))
    _ASKED.update({arm.directory: asked for arm in arms})
    return arms


def run_stage(stage: Stage, config: ExperimentConfig) -> Path:
    """Run a stage like the command of the same name; return the directory of its results.

    Complete results are kept. Raises `ConfigError` if there is no such stage, and `InputError` if
    the stage before it has not run.
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
    """Train and evaluate arms on one set of rollouts, write the summary and the report.

    Missing inputs are made first, and complete arms are kept. Returns the experiment's directory.
    Raises `ConfigError` if the arms do not belong to one sweep. If some arms fail, the summary
    holds the others, and `AsymreinforceError` is raised at the end.
    """
    if not arms:
        raise ConfigError("a sweep needs an arm; load_arms('seed=0,1') makes two")
    _limit_threads()
    from asymrl.launching import sweep_arms
    from asymrl.report_command import report_sweep

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
    """Write the report of an experiment with its figures; return the path of the page."""
    from asymreinforce.report.write import write_report as write

    return write(_directory(experiment))


def results(experiment: Where, *, against: str | None = None) -> "pd.DataFrame":
    """Return one row for each setting with intervals, as `asymrl report --csv` prints them.

    `against` names the setting to compare the others with; by default the baseline nearest 0.
    """
    from asymreinforce.report.export import setting_rows
    from asymreinforce.report.read import read_report

    return _pandas().DataFrame(setting_rows(read_report(_directory(experiment), against=against)))


def summary(experiment: Where) -> "pd.DataFrame":
    """Return one row for each arm: its last accuracy, its peak, and its verdict."""
    from asymreinforce.data import contracts

    return _table(experiment, "summary.parquet", contracts.SUMMARY)


def curves(experiment: Where) -> "pd.DataFrame":
    """Return one row for each evaluated checkpoint: split, step, accuracy and other measures."""
    from asymreinforce.data import contracts

    return _table(experiment, "curves.parquet", contracts.CURVES)


def suites(experiment: Where) -> "pd.DataFrame":
    """Return one row for each arm, benchmark and checkpoint: avg@k, maj@k, pass@k (0 to 1)."""
    from asymreinforce.data import contracts

    return _table(experiment, "suites.parquet", contracts.SUITES)


def rollouts(experiment: Where, *, name: str | None = None) -> "pd.DataFrame":
    """Return one row for each rollout of the newest shared set, or of the set called `name`.

    `name` may be a prefix of the set's directory name below `rollouts/`.
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
    """Return one row for each verdict; the columns `prompt_id` and `sample` join it to `rollouts`.

    The verdicts are the newest, or those of `grader`.
    """
    from asymreinforce.viewing.stored import all_verdicts, find_set, verdicts_of

    stored = find_set(_directory(experiment), rollouts=name)
    store = verdicts_of(stored, grader)
    if store is None:
        raise InputError(f"{stored.rollouts.directory}: has no verdicts; run 'asymrl score'")
    return _frame(all_verdicts(store))


def _kept(arms: "Sequence[ExperimentConfig]") -> "AbstractContextManager[None]":
    """Check the arms against their experiment's settings, or record the settings of a new one."""
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
    """Import pandas, on which only these tables depend."""
    try:
        import pandas
    except ImportError as error:
        raise ConfigError(
            f"tables need pandas, which is not installed ({error}); run 'pip install pandas'"
        ) from error
    return pandas


def _limit_threads() -> None:
    """Limit each process to one torch thread, as the command line does, unless the user says."""
    # torch reads the variable at its import; `main.py` says why one thread.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
