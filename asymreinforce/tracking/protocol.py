"""The protocol that every tracker implements, and the records that it receives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pyarrow as pa

from asymreinforce.config import ExperimentConfig


class Point(NamedTuple):
    """An evaluated checkpoint: its step, and numbers by name, such as `held_out/accuracy`."""

    step: int
    numbers: dict[str, float]


class Results(NamedTuple):
    """The results of a sweep; a result that is not on disk is None or empty."""

    summary: pa.Table | None
    """One row per arm (`contracts.SUMMARY`)."""
    figures: Sequence[Path]
    """The paths of PNG files."""
    page: Path | None

    @property
    def summary_columns(self) -> list[str]:
        """The names of the summary's columns."""
        return [] if self.summary is None else list(self.summary.schema.names)

    @property
    def summary_rows(self) -> list[list[Any]]:
        """The summary's rows, each in the order of `summary_columns`."""
        if self.summary is None:
            return []
        columns = [self.summary.column(name).to_pylist() for name in self.summary_columns]
        return [list(row) for row in zip(*columns, strict=True)]


class About(NamedTuple):
    """The run to open: the run of an arm, or the run of the experiment's summary."""

    id: str
    """Equal ids are the same run, so that a resumed arm continues its run."""
    name: str
    kind: Literal["arm", "summary"]
    settings: Mapping[str, Any]
    """The run's configuration, with JSON values."""


class Run(Protocol):
    """One run of a tracker, from its start to `finish`; any method may raise any exception."""

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log the metrics of a training step."""

    def log_evaluation(self, points: Sequence[Point]) -> None:
        """Log the accuracies of an arm's checkpoints, in the order of their steps.

        The arm is already trained: its last training step may be later than the points.
        """

    def log_results(self, results: Results) -> None:
        """Log the summary as a table, the figures, and the page if the tracker shows pages."""

    def finish(self) -> None:
        """Send the remaining data, and close the run."""

    def lost(self, reason: str) -> str:
        """Return the warning for a run that failed for `reason`; nothing more is logged."""


class Open(Protocol):
    """The type of the function `open_run` in every tracker's module."""

    def __call__(self, config: ExperimentConfig, about: About) -> Run:
        """Open a run; raises `ImportError` if the tracker's package is not installed."""
