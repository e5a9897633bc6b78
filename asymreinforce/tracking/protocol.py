"""What a tracker is asked to do, and what of an experiment it is given."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pyarrow as pa

from asymreinforce.config import ExperimentConfig


class Point(NamedTuple):
    """An evaluated checkpoint: the step, and numbers by name such as `held_out/accuracy`."""

    step: int
    numbers: dict[str, float]


class Results(NamedTuple):
    """What a sweep ends with; what is not on disk is None or empty."""

    summary: pa.Table | None
    """A row an arm (`contracts.SUMMARY`)."""
    figures: Sequence[Path]
    """PNG files."""
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
    """Which run to open: an arm's, or the one that holds the summary of all."""

    id: str
    """Equal ids are one run, which a resumed arm goes on in."""
    name: str
    kind: Literal["arm", "summary"]
    settings: Mapping[str, Any]
    """The run's configuration, as JSON holds it."""


class Run(Protocol):
    """One run of a tracker, from its start to `finish`. Every method may raise what it likes."""

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log the metrics of a training step."""

    def log_evaluation(self, points: Sequence[Point]) -> None:
        """Log the accuracies of an arm's checkpoints, in the order of their steps.

        The arm was trained before: its last training step is past the first of the points.
        """

    def log_results(self, results: Results) -> None:
        """Log the summary as a table, the figures, and the page if the tracker shows pages."""

    def finish(self) -> None:
        """Send what is left, and close the run."""

    def lost(self, reason: str) -> str:
        """Return what to warn of once the run failed for a `reason`: nothing more is logged."""


class Open(Protocol):
    """Opens a run, as every module of a tracker does by its function `open_run`."""

    def __call__(self, config: ExperimentConfig, about: About) -> Run:
        """Open a run; an `ImportError` says that the tracker's package is not installed."""
