"""Run `asymrl search`: parse intervals, run trials on this machine, print a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asymreinforce import terminal
from asymreinforce.data.search_records import Interval, SearchRecord
from asymreinforce.errors import ConfigError
from asymrl import keys
from asymrl.launching import launcher_of
from asymrl.words import key_of

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig


def parse_interval(word: str) -> Interval:
    """Parse KEY=interval(LOW,HIGH).

    The scale is logarithmic if both ends are above 0, else linear; `tag(log, ...)` and `tag(linear,
    ...)` choose. Raises `ConfigError` if the word is no interval, the interval is empty, or the
    setting is no number.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import IntervalSweep
    from hydra.errors import HydraException

    setting = key_of(word)
    keys.require_known(setting, "")
    field = keys.fields().get(setting)
    kinds = {int, float} & ({field.annotation, *keys.parts_of(field)} if field else set())
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
    arms: "Sequence[ExperimentConfig]", intervals: Sequence[Interval], *, overrides: Sequence[str]
) -> list[SearchRecord]:
    """Search on this machine; return one record for each method.

    Raises `ConfigError` for a Hydra launcher, and for arms that train in rounds.
    """
    from asymreinforce.experiment.search import run_search
    from asymreinforce.experiment.side_by_side import run_in_processes
    from asymreinforce.experiment.sweep import training_slots
    from asymrl.devices import trained_here

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


def composed_arms(
    overrides: Sequence[str], intervals: Sequence[Interval]
) -> "list[ExperimentConfig]":
    """Compose every arm at the lower ends of the intervals, without starting any."""
    from asymrl.compose import compose_arms

    searched = {interval.setting for interval in intervals}
    # A configuration needs some value; each trial replaces it.
    ends = [f"{i.setting}={int(i.low) if i.is_whole else i.low!r}" for i in intervals]
    return compose_arms([*(word for word in overrides if key_of(word) not in searched), *ends])


def print_searches(records: Sequence[SearchRecord]) -> None:
    """Print one row for each method, and sentences about the search."""
    from asymreinforce.report.searches import name_methods, search_sentences
    from asymrl.report_table import searches_table

    methods = name_methods(records)
    console = terminal.make_console()
    console.print(searches_table(methods))
    for sentence in search_sentences(methods):
        console.print(sentence, style="dim", soft_wrap=True)
