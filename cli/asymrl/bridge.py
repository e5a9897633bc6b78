"""The bridge from typer to Hydra: typer parses the subcommand, Hydra all arguments after it.

Overrides, groups, `-m`, `--cfg job`, sweepers and launchers work as in any Hydra program, since
`hydra.main` runs the job.
"""

import contextlib
import functools
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asymreinforce import terminal
from asymreinforce.credentials import of_environment, require_none
from asymreinforce.errors import ConfigError
from asymrl.keys import shipped
from asymrl.words import only_prints, quoted_text

Job = Callable[[Any], Any]

NEUTRAL = "experiment=neutral"
"""The base of a configuration whose task, model or rollouts the user chooses.

`conf/config.yaml` is the embedded default, whose sizes fit no other task, model or rollouts.
"""
EMBEDDED = {
    "task": {"cups"},
    "model": {"embedded"},
    "policy.source": {"embedded"},
    "source.path": {"null", ""},
}
"""Settings that choose a task, model or rollouts, and their values in the embedded default."""
NAMED_BY = ("source.path", "task.path", "task.sources.train.path", "task.sources.train.hub")
UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
"""Characters that are not allowed in the name of an experiment."""

NOISE = ("full_key", "object_type", "Config search path", "provider=")
"""Prefixes of lines in Hydra's messages that do not help to fix a setting."""

HOME = re.compile(r"""^([^=]+=['"]?)(~[\w.-]*)(?=/|['"]?$)""")
"""A setting whose value begins with `~/` or `~user/`."""
UNQUOTED = re.compile(r"token recognition|mismatched input|no viable alternative|extraneous input")
"""Messages of Hydra's parser for a value with unquoted special characters."""

UNREAD = re.compile(r"LexerNoViableAltException: (\S*=[^\n]*)")
"""The message of Hydra's lexer for a character that it does not know, such as `#`."""


def conf_directory() -> Path:
    """Return the shipped configuration: `conf/` of a checkout, or `asymrl/conf/` of a wheel."""
    from asymrl.defaults import store_defaults

    # Its files build on the defaults of all settings, which Hydra looks up in its store.
    store_defaults()
    return shipped()


def run_hydra(
    job: Job, overrides: Sequence[str], *, config_name: str = "config", elsewhere: bool = False
) -> None:
    """Run a job on the composed configuration, or on several configurations with `-m`.

    Errors of the job pass through, unless the job runs `elsewhere` (in a launcher's processes).
    Raises `ConfigError` if Hydra cannot compose a configuration.
    """
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    directory = conf_directory()
    overrides = checked_overrides(overrides, is_of_experiment=config_name == "config")
    raised: list[BaseException] = []

    @functools.wraps(job)
    def run_and_keep_error(cfg: Any) -> None:
        # Hydra would print a job's failure in its own words before it passes it on.
        try:
            job(cfg)
        except Exception as error:
            raised.append(error)

    GlobalHydra.instance().clear()  # Hydra can be initialized once, and Python may call us twice
    # argparse takes only one run of positional arguments, and people put options anywhere.
    arguments, sys.argv = sys.argv, ["asymrl", *sorted(overrides, key=_is_option)]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints an error itself and exits
    main = hydra.main(version_base="1.3", config_path=str(directory), config_name=config_name)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed if only_prints(overrides) else sys.stdout):
            main(job if elsewhere else run_and_keep_error)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(describe_error(error)) from error
    finally:
        sys.argv = arguments
        if text := printed.getvalue().rstrip("\n"):
            terminal.print_line(text, to_stderr=False)
    if raised:
        raise raised[0]


def checked_overrides(overrides: Sequence[str], *, is_of_experiment: bool = True) -> list[str]:
    """Return overrides with home directories and the experiment's base; Hydra may read `oc.env`.

    Raises `ConfigError` if a value holds a credential.
    """
    from omegaconf import OmegaConf

    # Credentials first: Hydra writes the words to multirun.yaml and quotes them in errors.
    settings = (word.partition("=") for word in overrides)
    require_none({key.lstrip("+~"): value for key, _, value in settings}, os.environ)
    OmegaConf.register_new_resolver("oc.env", of_environment, replace=True)
    words = [at_home(word) for word in overrides]
    return with_base([without_plus(word) for word in words]) if is_of_experiment else words


def with_base(overrides: Sequence[str]) -> list[str]:
    """Add the neutral base and a name to the overrides if they choose a task, model or rollouts.

    A named `experiment=` is a base itself, and the overrides stay as they are.
    """
    given = {}
    for word in overrides:
        key, equals, value = word.lstrip("+").partition("=")
        if equals:
            given[key] = value.strip("'\"")
    is_chosen = any(key in given and given[key] not in own for key, own in EMBEDDED.items())
    if given.get("experiment", "neutral") != "neutral" or not (is_chosen or "experiment" in given):
        return list(overrides)
    added = [] if "experiment" in given else [NEUTRAL]
    added += [] if "name" in given else [f"name={name_of(given)}"]
    return [*overrides, *added]


def name_of(given: dict[str, str]) -> str:
    """Name an experiment after its file, its data set or its task."""
    named = [Path(given[key]).name.partition(".")[0] for key in NAMED_BY if given.get(key)]
    named += [given.get("task.name", ""), given.get("task.family", ""), given.get("task", "")]
    return next(filter(None, map(fit_name, named)), "mine")


def fit_name(text: str) -> str:
    """Make a text the name of an experiment; empty if no character is allowed in a name."""
    return UNFIT.sub("-", text).strip("-._")


def at_home(word: str) -> str:
    """Replace `~` or `~user` at the start of a value by the home directory.

    Raises `ConfigError` if there is no such user.
    """
    try:
        # Hydra makes the directory of its logs below `runs_dir` before the settings are parsed.
        return HOME.sub(lambda match: f"{match[1]}{Path(match[2]).expanduser()}", word)
    except RuntimeError as error:
        raise ConfigError(f"{word}: {error}; write the path from / on") from None


def without_plus(word: str) -> str:
    """Read `+KEY=VALUE` as `KEY=VALUE` if KEY is a setting: Hydra's `+` only adds new keys."""
    from asymreinforce.config.settings import flatten_settings
    from asymrl.defaults import stored_defaults

    return (
        word[1:]
        if word[:1] == "+" and word[1:].partition("=")[0] in flatten_settings(stored_defaults())
        else word
    )


def _is_option(word: str) -> bool:
    return word.startswith("-") or not ("=" in word or word.startswith("~"))


def quote_override(override: str) -> str:
    """Quote an override for the shell, so that Hydra reads its value as a text."""
    key, _, value = override.partition("=")
    return shlex.quote(f"{key}={quoted_text(value)}")


def describe_error(error: Exception) -> str:
    """Say in one or two lines why a configuration cannot be composed."""
    where = getattr(error, "override", None) or getattr(error, "full_key", None)
    if unread := UNREAD.match(f"{error}"):
        where = unread[1]
    is_named = not where or str(where) in str(error).partition("\n")[0]
    text = f"{error}" if is_named else f"{where}: {error}"
    lines = [line.strip() for line in f"{text}\n{error.__cause__ or ''}".splitlines()]
    kept = [line for line in lines if line and not line.startswith(NOISE)]
    if isinstance(where, str) and (unread or UNQUOTED.search(text)) and "=" in where:
        kept.append(
            f"quote the value, once for Hydra and once for the shell: {quote_override(where)}"
        )
    return "\n  ".join(kept) + "\n  ('--cfg job' prints every setting; see 'asymrl COMMAND --help')"
