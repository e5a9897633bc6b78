"""Read the results that a tracker logs, and record which evaluations it has logged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts, files
from asymreinforce.data.arm_settings import CONFIG
from asymreinforce.data.store import hash_of
from asymreinforce.tracking.protocol import Point, Results

SUMMARY, CURVES, FIGURES, PAGE = "summary.parquet", "curves.parquet", "figures", "report.html"
NUMBERS = ("accuracy", "accuracy_se", "pass_at_k", "length", "entropy")
"""Columns of CURVES that are logged for each evaluated checkpoint."""


class EvaluatedArm(NamedTuple):
    """An arm with the accuracies of its checkpoints, in the order of their steps."""

    id: str
    algorithm: str
    baseline: float
    seed: int
    settings: dict[str, Any]
    """The settings of the arm's training; empty if they cannot be read."""
    points: list[Point]


def read_results(directory: Path) -> Results:
    """Read an experiment's summary, figures and page, as far as they exist."""
    summary, page = directory / SUMMARY, directory / PAGE
    return Results(
        contracts.read_table(summary, contracts.SUMMARY) if summary.exists() else None,
        sorted((directory / FIGURES).glob("*.png")),
        page if page.exists() else None,
    )


def evaluated_arms(directory: Path) -> Iterator[EvaluatedArm]:
    """Yield the arms in an experiment's `curves.parquet`, with the points of their checkpoints."""
    path = directory / CURVES
    if not path.exists():
        return
    of_arm: dict[str, list[dict[str, Any]]] = {}
    for row in contracts.read_table(path, contracts.CURVES).to_pylist():
        of_arm.setdefault(row["arm"], []).append(row)
    for arm, rows in of_arm.items():
        steps: dict[int, dict[str, float]] = {}
        for row in rows:
            known = {f"{row['split']}/{n}": row[n] for n in NUMBERS if row[n] is not None}
            steps.setdefault(row["step"], {}).update(known)
        yield EvaluatedArm(
            arm,
            rows[0]["algorithm"],
            rows[0]["baseline"],
            rows[0]["seed"],
            files.read_if_whole(directory / "train" / arm / CONFIG),
            [Point(step, steps[step]) for step in sorted(steps)],
        )


class Logged:
    """The evaluations that a tracker has logged, in a file beside the experiment's logs."""

    # trackers keep every point that they receive: without this file, a sweep with nothing to do
    # would draw every curve once more

    def __init__(self, config: ExperimentConfig):
        key = hash_of(config.tracker.model_dump(mode="json"))
        self._path = config.directory / "logs" / f"tracked-{config.tracker.name}-{key}.json"
        self._known: dict[str, str] = files.read_if_whole(self._path)

    def holds(self, arm: EvaluatedArm) -> bool:
        """Tell whether exactly these points of an arm were logged."""
        return self._known.get(arm.id) == _hash(arm)

    def add(self, arm: EvaluatedArm) -> None:
        """Record that the points of an arm were logged."""
        self._known[arm.id] = _hash(arm)
        # a kill leaves no half-written list, only a temporary file, which is removed here
        files.remove_leftovers(files.make_directory(self._path.parent), below=False)
        files.publish_json(self._path, self._known)


def _hash(arm: EvaluatedArm) -> str:
    return hash_of([[point.step, repr(sorted(point.numbers.items()))] for point in arm.points])
