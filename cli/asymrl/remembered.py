"""Record an experiment's settings in its directory, so that `name=` alone brings them back.

`runs/<name>/experiment.json` holds the words of the command that made the experiment, and the
resulting settings. The file is part of no identity: each stage's directory follows from settings.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce.config.settings import expand_home
from asymreinforce.data.experiment_record import FILE
from asymreinforce.errors import AsymreinforceError, ConfigError
from asymrl.words import key_of, several, value_of

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig

PLACE = ("name", "runs_dir")
ONE_ARMS = ("baseline", "seed", "replicate")
"""Settings that tell arms apart; a command that trains one arm does not record them."""
SEEDED = ("policy.seed", "sampling.seed")
"""Settings of inputs that `replicate` sets."""
SHOWN = 5


class Made(NamedTuple):
    """The recorded words and settings of an experiment."""

    words: list[str]
    settings: dict[str, Any]
    """Values by dotted key, without the settings in which the arms differed."""


class Asked(NamedTuple):
    """The part of a command that concerns its experiment."""

    words: list[str]
    """Settings to record, if the command makes the experiment."""
    is_named: bool
    """Whether the command names the experiment; the embedded one needs no name."""
    is_change: bool
    """Whether the command may change the recorded settings (`--change`)."""


def words(settings: Sequence[str]) -> list[str]:
    """Return the recorded words of the experiment that the settings name; empty if it is new."""
    directory = _directory(settings)
    made = read(directory) if directory else None
    return made.words if made else []


def asked(settings: Sequence[str], *, given: Sequence[str], is_change: bool) -> Asked:
    """Return the part of a command that concerns its experiment.

    `settings` are all its settings, `given` those of its own words. Words that name the directory,
    a launcher or one arm are not recorded, since they mean nothing to the next command.
    """
    once = {key_of(w) for w in given if key_of(w) in ONE_ARMS and len(several(w)) == 1}
    kept = [w for w in settings if key_of(w) not in {*PLACE, *once} and "hydra" not in key_of(w)]
    return Asked(kept, any(key_of(word) == "name" for word in settings), is_change)


def read(directory: Path) -> Made | None:
    """Return the record of an experiment; None if there is no record or no stage has begun."""
    path = directory / FILE
    if not path.is_file() or not is_made(directory):
        return None
    from asymreinforce.data.sealed import read_sealed

    value = read_sealed(path)
    return Made(list(value["words"]), dict(value["settings"]))


def is_made(directory: Path) -> bool:
    """Tell whether any stage of an experiment has begun."""
    return any(directory.glob("*/*/plan.json"))


@contextlib.contextmanager
def kept(arms: "Sequence[ExperimentConfig]", wanted: Asked) -> Iterator[None]:
    """Check a command against the record of its experiment, or write a record for a new one.

    Raises `ConfigError` if the experiment is named and was made with other prompts, rollouts or
    verdicts.
    """
    directories = {arm.directory for arm in arms}
    if len(directories) != 1:
        yield  # the sweep itself raises the error that arms belong to one experiment
        return
    (directory,) = directories
    made = read(directory)
    if made and not wanted.is_change:
        if wanted.is_named:
            _require_same(arms, made, directory)
        yield
        return
    is_new = not is_made(directory)
    if is_new:  # at once, so that a killed command can go on by the name alone
        _write(directory, wanted, arms)
    try:
        yield
    except BaseException:
        # A command that fails before any stage must leave nothing behind.
        if is_new and not is_made(directory):
            (directory / FILE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise
    if not is_new:
        _write(directory, wanted, arms)


def _directory(settings: Sequence[str]) -> Path | None:
    """Return the directory of the experiment that the settings name; None if they name none."""
    values = {key_of(word): value_of(word).strip("'\"") for word in settings}
    name, runs_dir = values.get("name"), values.get("runs_dir", "runs")
    if not name or "$" in name + runs_dir or "," in name:
        return None
    try:
        return Path(expand_home(runs_dir)) / name
    except ValueError:
        return None  # the check of the setting itself raises a clearer error


def _write(directory: Path, wanted: Asked, arms: "Sequence[ExperimentConfig]") -> None:
    """Write the record of an experiment, without an error if the directory cannot be written."""
    from asymreinforce.data import files, sealed
    from asymreinforce.data.determines import flat_settings

    all_of = [flat_settings(arm) for arm in arms]
    same = {
        key: value
        for key, value in all_of[0].items()
        if key not in PLACE and all(own.get(key, value) == value for own in all_of)
    }
    # The stage itself raises a clearer error, if it has anything to write.
    with contextlib.suppress(AsymreinforceError):
        files.remove_leftovers(files.make_directory(directory), below=False)
        sealed.publish_sealed(directory / FILE, {"words": wanted.words, "settings": same})


def _require_same(arms: "Sequence[ExperimentConfig]", made: Made, directory: Path) -> None:
    """Raise `ConfigError`, with the settings, if these settings would make other inputs."""
    from asymreinforce.data.determines import (
        CHOOSES,
        Product,
        first_product,
        flat_settings,
        is_same_value,
    )

    replicate_made = made.settings.get("replicate", 0)
    differing: dict[str, tuple[Any, Any]] = {}
    for settings in map(flat_settings, arms):
        for key, value in settings.items():
            old = made.settings.get(key, value)
            if key in CHOOSES or key in differing or is_same_value(value, old):
                continue
            if key in SEEDED and value == settings["replicate"] and old == replicate_made:
                continue  # a further replicate of the same experiment
            # Arms and evaluations may differ; other prompts, rollouts or verdicts may not.
            if (
                min(first_product(key, settings), first_product(key, made.settings))
                <= Product.VERDICTS
            ):
                differing[key] = (old, value)
    if not differing:
        return
    lines = [
        f"  {key}={_shown(new)}, and {directory} has {_shown(old)}"
        for key, (old, new) in list(differing.items())[:SHOWN]
    ]
    more = [f"  and {len(differing) - SHOWN} more settings"] if len(differing) > SHOWN else []
    raise ConfigError(
        "\n".join([f"{directory} was made with other settings:", *lines, *more])
        + f"\n  choose another name=, or delete {directory} to start over, or add --change to use "
        "the new settings from now on; earlier results stay"
    )


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
