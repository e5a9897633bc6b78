"""The record of a search, one file per method: `runs/<experiment>/search/<name>.json`.

A search that is run again reads the values of its trials from here, and their accuracies from the
arms.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data import files
from asymreinforce.data.sealed import publish_sealed, read_sealed
from asymreinforce.errors import InputError

FOLDER = "search"


class Interval(NamedTuple):
    """The range of a setting that a search tries."""

    setting: str
    low: float
    high: float
    is_log: bool
    """Whether the scale is logarithmic."""
    is_whole: bool
    """Whether the values are whole numbers."""


class Trial(NamedTuple):
    """The values of one trial and its result."""

    values: Mapping[str, float]
    accuracy: float | None = None
    """Accuracy on validation questions, the mean over seeds; None if an arm failed."""
    arms: tuple[str, ...] = ()
    """The arms' directories below `train/`."""
    error: str = ""


class SearchRecord(NamedTuple):
    """A method, the intervals that are searched, and the trials so far."""

    arms: tuple[str, ...]
    """The names that the method's arms (one per seed) would have at the intervals' lower ends."""
    settings: Mapping[str, Any]
    """The flat settings that determine the method's arms, without seed and searched settings."""
    intervals: tuple[Interval, ...]
    seeds: tuple[int, ...]
    """The seeds of each trial's arms."""
    value: str
    """Whether an arm's best or last validation accuracy counts."""
    questions: int
    """The number of questions of which an accuracy is the mean."""
    spread: int
    seed: int
    budget: int
    """The number of trials that the user asked for."""
    trials: tuple[Trial, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, a hash of the method's arms and of all that decides the tried values."""
        identity = [self.arms, self.intervals, self.value, self.spread, self.seed]
        text = json.dumps(identity)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def best(self) -> Trial | None:
        """The first trial with the highest accuracy; None if no trial has an accuracy."""
        judged = [trial for trial in self.trials if trial.accuracy is not None]
        return max(judged, key=lambda trial: trial.accuracy or 0.0, default=None)


def publish_record(directory: Path, record: SearchRecord) -> None:
    """Write a record into an experiment's directory."""
    folder = files.make_directory(directory / FOLDER)
    files.remove_leftovers(folder, below=False)
    content = record._asdict() | {
        "intervals": [interval._asdict() for interval in record.intervals],
        "trials": [trial._asdict() for trial in record.trials],
    }
    publish_sealed(folder / f"{record.name}.json", json.loads(json.dumps(content)))


def read_record(path: Path) -> SearchRecord:
    """Read a record; raise `InputError` if it is damaged or of another version."""
    content = read_sealed(path)
    try:
        intervals = tuple(Interval(**values) for values in content.pop("intervals"))
        trials = tuple(
            Trial(**{**values, "arms": tuple(values["arms"])}) for values in content.pop("trials")
        )
        arms, seeds = tuple(content.pop("arms")), tuple(content.pop("seeds"))
        return SearchRecord(**content, arms=arms, seeds=seeds, intervals=intervals, trials=trials)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not the record of a search of this version ({error}); delete it and search "
            "again: arms that were trained stay"
        ) from None


def stored_trials(directory: Path, record: SearchRecord) -> tuple[Trial, ...]:
    """Return the trials of an earlier run of the same search."""
    path = directory / FOLDER / f"{record.name}.json"
    return read_record(path).trials if path.is_file() else ()


def read_records(directory: Path) -> list[SearchRecord]:
    """Read all searches of an experiment, in order of name."""
    return [read_record(path) for path in sorted((directory / FOLDER).glob("*.json"))]
