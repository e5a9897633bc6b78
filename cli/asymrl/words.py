"""Sort the words after a command into Hydra's options, an experiment's file, and KEY=VALUE.

Any other word raises an error with advice here, before anything heavy is imported.
"""

import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from asymreinforce.credentials import require_none
from asymreinforce.errors import ConfigError
from asymrl import keys

CHANGE = "--change"
VALUED = {
    "--cfg": ("job", "hydra", "all"),
    "-c": ("job", "hydra", "all"),
    "--info": (),
    "-i": (),
    "--package": (),
    "-p": (),
    "--config-path": (),
    "-cp": (),
    "--config-name": (),
    "-cn": (),
    "--config-dir": (),
    "-cd": (),
    "--experimental-rerun": (),
}
"""Hydra's options with a value, and their choices if not every value is allowed."""
FLAGS = ("--multirun", "-m", "--run", "-r", "--resolve", "--hydra-help", CHANGE)
PRINTING = {"--cfg", "-c", "--info", "-i", "--hydra-help"}
"""Hydra's options that print one configuration and run nothing."""
FILES = (".yaml", ".yml")
NUMBER = re.compile(r"[-+]?[\d.][\d.,eE+-]*")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
INTERVAL = re.compile(r"\s*(?:(?:int|float)\(|tag\([^()]*)*\s*interval\(")
"""The start of a value that is an interval of `asymrl search`."""
PAIRS = {"[": "]", "{": "}", "(": ")"}


class Words(NamedTuple):
    """The words after a command, by kind."""

    options: list[str]
    """Hydra's options, each with its value."""
    files: list[str]
    """Files of an experiment."""
    settings: list[str]
    """Settings: KEY=VALUE or ~KEY."""


def only_prints(words: Iterable[str]) -> bool:
    """Tell whether options make Hydra print something and run nothing."""
    return any(word.partition("=")[0] in PRINTING for word in words)


def key_of(word: str) -> str:
    """Return the key of a setting, without Hydra's prefixes `+` and `~`."""
    return word.partition("=")[0].lstrip("+~")


def value_of(word: str) -> str:
    """Return the value of a setting as it is written; empty if there is no value."""
    return word.partition("=")[2]


def sorted_out(words: Sequence[str]) -> Words:
    """Sort words into options, files and settings.

    Raises `ConfigError` for any other word, and for a word with a credential.
    """
    sorted_words = Words([], [], [])
    waiting = list(words)
    for word in words:  # first, since an error message would repeat the credential
        name, _, value = word.partition("=")
        require_none({"a word of the command line": name}, os.environ)
        require_none({name.lstrip("+~"): value}, os.environ)
    while waiting:
        word = waiting.pop(0)
        name = word.partition("=")[0]
        if word in FLAGS or (name in VALUED and "=" in word):
            sorted_words.options.append(word)
        elif name in VALUED:
            sorted_words.options.extend([word, *_value_of_option(word, waiting)])
        # `-0.1` is a stray number, which gets another message.
        elif word.startswith("-") and not NUMBER.fullmatch(word):
            raise ConfigError(_no_option(word))
        elif name and ("=" in word or word.startswith("~")):
            sorted_words.settings.append(word)
        elif word.endswith(FILES):
            sorted_words.files.append(word)
        else:
            raise ConfigError(_stray(word, sorted_words.settings, waiting))
    if len(sorted_words.files) > 1:
        raise ConfigError(f"{' '.join(sorted_words.files)}: a command takes one experiment's file")
    return sorted_words


def _value_of_option(option: str, waiting: list[str]) -> list[str]:
    """Consume the value of an option from the words after it."""
    choices = VALUED[option]
    is_there = bool(waiting) and "=" not in waiting[0] and not waiting[0].startswith("-")
    if choices and not (is_there and waiting[0] in choices):
        raise ConfigError(f"{option} takes one of {', '.join(choices)}, as in {option} job")
    return [waiting.pop(0)] if is_there else []


def _no_option(word: str) -> str:
    """Return the message for an unknown option, with a suggestion."""
    name, _, value = word.lstrip("-").partition("=")
    near = (
        [name]
        if keys.is_setting(name) or name in keys.groups()
        else keys.nearest(name, [*keys.fields(), *keys.groups()])
    )
    if near:
        return f"{word}: settings are written without dashes: {near[0]}={value or 'VALUE'}"
    return f"{word}: no such option; settings are KEY=VALUE, and --help shows what there is"


def _stray(word: str, before: Sequence[str], after: Sequence[str]) -> str:
    """Return the message for a word that is no setting, with a suggestion."""
    last = before[-1] if before else ""
    if (
        word.startswith("=")
        or (after[:1] and after[0].startswith("="))
        or (last and not value_of(last))
    ):
        return f"{word}: a setting is one word, KEY=VALUE, without spaces around '='"
    if NUMBER.fullmatch(word) and last:
        values = ",".join([value_of(last), *_numbers([word, *after])]).replace(",,", ",")
        return (
            f"{word}: several values of a setting are joined by commas, without spaces: "
            f"{key_of(last)}={values}"
        )
    if keys.is_setting(word) or word in keys.groups():
        return f"{word}: give it a value, as in {word}=VALUE"
    return (
        f"{word}: is neither KEY=VALUE nor an experiment's file, whose name ends in .yaml; a value "
        "with spaces is quoted, as in 'task.instruction=\"Answer with a number.\"'"
    )


def _numbers(words: Sequence[str]) -> list[str]:
    """Return the words before the first that is no number."""
    end = next((i for i, word in enumerate(words) if not NUMBER.fullmatch(word)), len(words))
    return [word.strip(",") for word in words[:end]]


def is_interval(word: str) -> bool:
    """Tell whether the value of a setting is an interval to search in."""
    return INTERVAL.match(value_of(word)) is not None


def several(word: str) -> list[str]:
    """Split the value of a setting at commas outside brackets and quotes."""
    values, open_, start = [], "", 0
    text = value_of(word)
    for place, sign in enumerate(text):
        quote = open_[-1:] if open_[-1:] in ("'", '"') else ""
        if quote:
            # An odd number of backslashes escapes the quote after them.
            is_escaped = (place - len(text[:place].rstrip("\\"))) % 2 == 1
            open_ = open_[:-1] if sign == quote and not is_escaped else open_
        elif sign in "'\"":
            # A quote opens only at the start of a value; elsewhere it is an apostrophe.
            open_ += sign if text[start:place].strip(" [{(,:") == "" or open_ else ""
        elif sign in PAIRS:
            open_ += sign
        elif open_ and sign == PAIRS[open_[-1]]:
            open_ = open_[:-1]
        elif sign == "," and not open_:
            values.append(text[start:place])
            start = place + 1
    return [*values, text[start:]]


def settable(word: str) -> str:
    """Return a setting in Hydra's syntax: an entry of a mapping is new, and needs `++`."""
    is_new = "=" in word and not word.startswith("~") and keys.is_in_mapping(key_of(word))
    return f"++{_as_mapping(word).lstrip('+')}" if is_new else word


def _as_mapping(word: str) -> str:
    """Return a list of names as a mapping, so that further settings can be merged into it."""
    value = value_of(word)
    if key_of(word) not in keys.NAMED or not (value[:1] == "[" and value[-1:] == "]"):
        return word
    names = [name.strip() for name in several(f"{key_of(word)}={value[1:-1]}")]
    is_plain = all(map(NAME.fullmatch, names)) and len(set(names)) == len(names)
    return (
        f"{key_of(word)}={{{', '.join(f'{name}: null' for name in names)}}}" if is_plain else word
    )


def quoted_text(text: str) -> str:
    """Return a text in double quotes that Hydra reads back unchanged."""
    text = re.sub(r'(\\*)"', lambda match: rf"{match[1] * 2}\"", text)
    behind = text[len(text.rstrip("\\")) :]
    return f'"{text}{behind}"'


def require_one_value(command: str, settings: Sequence[str]) -> None:
    """Raise `ConfigError` if a setting has several values but the command takes one."""
    for word in settings:
        values = several(word)
        if len(values) > 1:
            key = key_of(word)
            advice = f"'asymrl sweep {word}' trains an arm for each"
            if keys.takes_several(key):
                advice = f"one list is {key}=[{','.join(values)}], quoted for the shell"
            elif keys.takes_text(key):
                advice = f"a text with commas is quoted twice: '{key}=\"{value_of(word)}\"'"
            raise ConfigError(
                f"{key} has {len(values)} values, and 'asymrl {command}' takes one; {advice}"
            )


def layered(below: Sequence[str], above: Sequence[str]) -> list[str]:
    """Override the settings `below` by those `above`; a chosen group overrides its settings too.

    A mapping of `keys.NAMED` in `above` replaces all its entries in `below`.
    """
    set_again = {key_of(word) for word in above}
    anew = tuple(f"{key}." for key in set_again & keys.NAMED)
    below = [word for word in below if not key_of(word).startswith(anew)]
    for word in above:
        key, value = key_of(word), value_of(word)
        if value in keys.groups().get(key, ()):
            set_again |= keys.stated(key, value)
    return [*(word for word in below if key_of(word) not in set_again), *above]
