"""What stands behind a command, made into the overrides that Hydra composes.

    asymrl sweep arithmetic.yaml baseline=-0.1,0

From below: what `runs/<name>` was made with, the experiment's file, the command line. All of it is
checked here, before anything heavy is imported.
"""

from collections.abc import Sequence
from typing import NamedTuple

from asymreinforce import terminal
from asymreinforce.errors import ConfigError
from asymrl import experiment_file, keys, remembered
from asymrl.words import (
    CHANGE,
    is_interval,
    key_of,
    layered,
    only_prints,
    require_one_value,
    settable,
    several,
    sorted_out,
    value_of,
)

SWEEPING = ("sweep", "run", "plan", "search")
"""Commands that take several values of a setting."""


class Prepared(NamedTuple):
    """The overrides that Hydra composes, and what they say of the experiment they are for."""

    overrides: list[str]
    asked: remembered.Asked


def prepared(command: str, words: Sequence[str]) -> Prepared:
    """Return the overrides of a command, those of files and of the experiment's directory in them.

    Raises `ConfigError` if a word is no setting, a setting is not known, or has several values
    where the command takes one.
    """
    given = sorted_out(words)
    for word in given.settings:
        keys.require_known(key_of(word), value_of(word))
        _require_no_search(command, word)
    require_one_value(command, [word for word in given.settings if key_of(word) in keys.NAMED])
    takes_one = command not in SWEEPING and not {"-m", "--multirun"} & set(given.options)
    if takes_one:
        require_one_value(command, given.settings)
    settings = given.settings
    for path in given.files:
        named = {key_of(word) for word in given.settings}
        settings = layered(experiment_file.words(path, given=named), settings)
    if not given.files:  # which say all of an experiment
        settings = layered(remembered.words(settings), settings)
    is_change = CHANGE in given.options
    asked = remembered.asked(settings, given=given.settings, is_change=is_change)
    if takes_one or only_prints(given.options):
        settings = first_values(settings, is_told=command in (*SWEEPING, "train"))
    options = [word for word in given.options if word != CHANGE]
    return Prepared([*options, *map(settable, settings)], asked)


def _require_no_search(command: str, word: str) -> None:
    """Raise `ConfigError` for what only `asymrl search` does: its arms are not known beforehand."""
    if is_interval(word) or key_of(word) == "hydra/sweeper":
        raise ConfigError(
            f"{word}: 'asymrl {command}' takes values and no sweeper of Hydra's; 'asymrl search' "
            "takes intervals, such as 'optim.lr=interval(1e-5,1e-3)', and a budget, search.trials=8"
        )


def of_the_bench(words: Sequence[str]) -> list[str]:
    """Return the overrides of `asymrl bandit`; raise `ConfigError` for a word that is none."""
    given = sorted_out(words)
    for word in given.settings:
        keys.require_known_to_bandit(key_of(word))
    return [*given.options, *given.files, *given.settings]


def first_values(settings: Sequence[str], *, is_told: bool) -> list[str]:
    """Take the first of several values, and tell of it on standard error if it matters."""
    kept = []
    for word in settings:
        values = several(word)
        if len(values) > 1 and is_told:
            terminal.print_line(
                f"{key_of(word)}: {values[0]} is taken, the first of {value_of(word)}"
            )
        kept.append(f"{word.partition('=')[0]}={values[0]}" if len(values) > 1 else word)
    return kept
