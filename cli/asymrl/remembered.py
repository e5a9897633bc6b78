"""What an experiment was made with stands in its directory, so that `name=` alone goes on with it.

`runs/<name>/experiment.json` holds the words with which it was made, and the settings that they
gave. It is part of no identity: stages are found by their settings, which it only says again.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce.config.paths import expand_home
from asymreinforce.data.experiment_record import FILE
from asymreinforce.errors import AsymreinforceError, ConfigError
from asymrl.words import key_of, several, value_of

if TYPE_CHECKING:
    from asymreinforce.config import ExperimentConfig

PLACE = ("name", "runs_dir")
ONE_ARMS = ("baseline", "seed", "replicate")
"""What tells arms apart: one that was trained by itself says nothing of the next."""
SEEDED = ("policy.seed", "sampling.seed")
"""What `replicate` gives of the settings that inputs are made with."""
SHOWN = 5


class Made(NamedTuple):
    """What an experiment was made with."""

    words: list[str]
    settings: dict[str, Any]
    """Flat, those left out in which its arms differed."""


class Asked(NamedTuple):
    """What a command says of the experiment it works on."""

    words: list[str]
    """Settings to be remembered, if the command makes the experiment."""
    is_named: bool
    """Whether it says which experiment is meant; the embedded one need not be named."""
    is_change: bool
    """Whether other settings than it was made with are wanted."""


def words(settings: Sequence[str]) -> list[str]:
    """Return the words with which the experiment that settings name was made; none if it is new."""
    directory = _directory(settings)
    made = read(directory) if directory else None
    return made.words if made else []


def asked(settings: Sequence[str], *, given: Sequence[str], is_change: bool) -> Asked:
    """Return what a command says of its experiment, by all its settings and by those `given` to it.

    What was given says nothing to the next command if it names the place, a launcher or one arm.
    """
    once = {key_of(w) for w in given if key_of(w) in ONE_ARMS and len(several(w)) == 1}
    kept = [w for w in settings if key_of(w) not in {*PLACE, *once} and "hydra" not in key_of(w)]
    return Asked(kept, any(key_of(word) == "name" for word in settings), is_change)


def read(directory: Path) -> Made | None:
    """Return what an experiment was made with; None if nothing was made or taken down."""
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
    """Hold a command to what its experiment was made with, or take down what it is made with.

    Raises `ConfigError` if the experiment is named and was made with other prompts, rollouts or
    verdicts.
    """
    directories = {arm.directory for arm in arms}
    if len(directories) != 1:
        yield  # a sweep's own error says why arms are of one experiment
        return
    (directory,) = directories
    made = read(directory)
    if made and not wanted.is_change:
        if wanted.is_named:
            _require_same(arms, made, directory)
        yield
        return
    is_new = not is_made(directory)
    if is_new:  # at once: whoever is killed goes on by the name alone
        _write(directory, wanted, arms)
    try:
        yield
    except BaseException:
        if is_new and not is_made(directory):
            (directory / FILE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise
    if not is_new:
        _write(directory, wanted, arms)


def _directory(settings: Sequence[str]) -> Path | None:
    """Return the directory of the experiment that settings name; None if they name none."""
    values = {key_of(word): value_of(word).strip("'\"") for word in settings}
    name, runs_dir = values.get("name"), values.get("runs_dir", "runs")
    if not name or "$" in name + runs_dir or "," in name:
        return None
    try:
        return Path(expand_home(runs_dir)) / name
    except ValueError:
        return None  # the setting's own error says what is wrong with it


def _write(directory: Path, wanted: Asked, arms: "Sequence[ExperimentConfig]") -> None:
    """Take down what an experiment is made with; a directory that cannot be written is no error.

    The stage itself says why, if it has anything to write.
    """
    from asymreinforce.data import files, sealed
    from asymreinforce.data.determines import flat_settings

    all_of = [flat_settings(arm) for arm in arms]
    same = {
        key: value
        for key, value in all_of[0].items()
        if key not in PLACE and all(own.get(key, value) == value for own in all_of)
    }
    with contextlib.suppress(AsymreinforceError):
        files.remove_leftovers(files.make_directory(directory), below=False)
        sealed.publish_sealed(directory / FILE, {"words": wanted.words, "settings": same})


def _require_same(arms: "Sequence[ExperimentConfig]", made: Made, directory: Path) -> None:
    """Raise `ConfigError` that names the settings by which other inputs would be made."""
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
                continue  # one more replicate of the same
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
        + f"\n  go on under another name=, or delete {directory} to begin anew; with --change the "
        "new ones are taken from now on, and what was made stays beside it"
    )


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
