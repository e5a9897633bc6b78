"""`asymrl search`: find the best settings of each method on validation questions in a budget.

Heavy modules are imported when the command runs.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import typer

from asymrl.commands import Settings, prepare_or_print

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig
    from asymreinforce.data.search_records import Interval, SearchRecord


def search(settings: Settings = None) -> None:
    """Find the best learning rate, or other settings, of each method on validation questions.

    asymrl search 'optim.lr=interval(1e-5,1e-3)'                    8 trials of one arm each

    asymrl search 'algorithm=grpo,asymre' 'optim.lr=interval(1e-5,1e-3)' search.trials=12

    asymrl search seed=0,1 'baseline=interval(-0.5,0)' search.spread=8   evenly spread values

    Every combination of comma-separated values but seeds is a method with its own budget. The
    accuracy of a trial is the mean over seeds. Trials share rollouts, and their arms are those of
    'asymrl sweep' with the same settings. The same command resumes a search that was killed.
    """
    from asymrl.compose import compose_arms
    from asymrl.remembered import kept
    from asymrl.words import is_interval, key_of

    given = list(settings or [])
    plain = prepare_or_print("search", [word for word in given if not is_interval(word)])
    if not plain:
        return
    intervals = [parse_interval(word) for word in given if is_interval(word)]
    searched = {interval.setting for interval in intervals}
    # A configuration needs some value, the lower end; each trial replaces it.
    ends = [f"{i.setting}={int(i.low) if i.is_whole else i.low!r}" for i in intervals]
    arms = compose_arms([*(w for w in plain.overrides if key_of(w) not in searched), *ends])
    with kept(arms, plain.asked):
        records = search_arms(arms, intervals, overrides=plain.overrides)
    print_searches(records)
    if any(record.best is None for record in records):
        raise typer.Exit(1)


def parse_interval(word: str) -> "Interval":
    """Parse KEY=interval(LOW,HIGH).

    The scale is logarithmic if both ends are above 0, else linear; `tag(log, ...)` and `tag(linear,
    ...)` choose. Raises `ConfigError` if the word is no interval, the interval is empty, or the
    setting is no number.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import IntervalSweep
    from hydra.errors import HydraException

    from asymreinforce.data.search_records import Interval
    from asymreinforce.errors import ConfigError
    from asymrl import keys
    from asymrl.words import key_of

    setting = key_of(word)
    keys.require_known(setting, "")
    field = keys.fields().get(setting)
    kinds = {int, float} & ({field.annotation, *get_args(field.annotation)} if field else set())
    if not kinds:
        raise ConfigError(f"{word}: {setting} is no number, and has no interval")
    try:
        value = OverridesParser.create().parse_override(word).value()
    except HydraException as error:
        raise ConfigError(f"{word}: {error}".splitlines()[0]) from error
    if not isinstance(value, IntervalSweep) or value.start is None or value.end is None:
        raise ConfigError(f"{word}: write {setting}=interval(LOW,HIGH)")
    low, high = float(value.start), float(value.end)
    is_log = "log" in value.tags or (low > 0 and "linear" not in value.tags)
    if not low < high or (is_log and low <= 0):
        raise ConfigError(
            f"{word}: the first end is below the second one, and above 0 on a logarithmic scale"
        )
    return Interval(setting, low, high, is_log=is_log, is_whole=kinds == {int})


def search_arms(
    arms: "Sequence[ExperimentConfig]", intervals: "Sequence[Interval]", *, overrides: Sequence[str]
) -> "list[SearchRecord]":
    """Search on this machine; return one record for each method.

    Raises `ConfigError` for a Hydra launcher, and for arms that train in rounds.
    """
    from asymreinforce.errors import ConfigError
    from asymreinforce.experiment.search import run_search
    from asymreinforce.experiment.side_by_side import run_in_processes
    from asymreinforce.experiment.sweep import training_slots
    from asymrl.launching import launcher_of, trained_here

    if launcher := launcher_of(overrides):
        raise ConfigError(
            f"hydra/launcher={launcher}: a search trains on this machine, since each trial depends "
            "on those before; leave it out"
        )
    if any(arm.refresh_every for arm in arms):
        raise ConfigError(
            "refresh_every generates new rollouts during training, and the trials of a search "
            "share one set; search without it"
        )
    arms = trained_here(arms)
    slots = training_slots(arms)

    def launch(waiting: "Sequence[ExperimentConfig]") -> None:
        run_in_processes(waiting, size=arms[0].sweep.together, slots=slots)

    return run_search(arms, intervals, launch=launch)


def print_searches(records: "Sequence[SearchRecord]") -> None:
    """Print one row for each method, and sentences about the search."""
    from asymreinforce import terminal
    from asymreinforce.report.searches import name_methods, search_sentences
    from asymrl.report_table import searches_table

    methods = name_methods(records)
    console = terminal.make_console()
    console.print(searches_table(methods))
    for sentence in search_sentences(methods):
        console.print(sentence, style="dim", soft_wrap=True)
