"""Turn the arguments of a command into the overrides that Hydra composes.

    asymrl sweep arithmetic.yaml baseline=-0.1,0

The command line overrides the experiment's file, or without a file the recorded settings of
`runs/<name>`. All words are checked here, before anything heavy is imported.
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
"""Commands that accept several values of a setting."""


class Prepared(NamedTuple):
    """The overrides for Hydra, and what the command asks of its experiment."""

    overrides: list[str]
    asked: remembered.Asked


def prepared(command: str, words: Sequence[str]) -> Prepared:
    """Return the overrides of a command, with those of its file or its experiment's directory.

    Raises `ConfigError` if a word is no setting, a setting is unknown, or a setting has several
    values and the command takes one.
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
    if not given.files:  # a file describes its whole experiment
        settings = layered(remembered.words(settings), settings)
    is_change = CHANGE in given.options
    asked = remembered.asked(settings, given=given.settings, is_change=is_change)
    if takes_one or only_prints(given.options):
        settings = first_values(settings, is_told=command in (*SWEEPING, "train"))
    options = [word for word in given.options if word != CHANGE]
    return Prepared([*options, *map(settable, settings)], asked)


def _require_no_search(command: str, word: str) -> None:
    """Raise `ConfigError` for an interval or a sweeper, which only `asymrl search` understands."""
    if is_interval(word) or key_of(word) == "hydra/sweeper":
        raise ConfigError(
            f"{word}: 'asymrl {command}' takes values and no sweeper of Hydra's; 'asymrl search' "
            "takes intervals, such as 'optim.lr=interval(1e-5,1e-3)', and a budget, search.trials=8"
        )


def of_the_bench(words: Sequence[str]) -> list[str]:
    """Return the overrides of `asymrl bandit`; raises `ConfigError` for an unknown word."""
    given = sorted_out(words)
    for word in given.settings:
        keys.require_known_to_bandit(key_of(word))
    return [*given.options, *given.files, *given.settings]


def first_values(settings: Sequence[str], *, is_told: bool) -> list[str]:
    """Keep the first of several values of each setting, and report it on standard error."""
    kept = []
    for word in settings:
        values = several(word)
        if len(values) > 1 and is_told:
            terminal.print_line(
                f"{key_of(word)}: {values[0]} is taken, the first of {value_of(word)}"
            )
        kept.append(f"{word.partition('=')[0]}={values[0]}" if len(values) > 1 else word)
    return kept
