"""Write runs of trackio, to its local database or to the Space that TRACKIO_SPACE_ID names.

A Space that trackio creates for a run is private.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.tracking.protocol import About, Point, Results

PROJECT = "asymreinforce"


class TrackioRun:
    """A run of trackio."""

    def __init__(self, run: Any):
        self._run = run

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log the metrics of a training step."""
        self._run.log(dict(metrics), step=step)

    def log_evaluation(self, points: Sequence[Point]) -> None:
        """Log accuracies at their steps."""
        for point in points:
            self._run.log(dict(point.numbers), step=point.step)

    def log_results(self, results: Results) -> None:
        """Log the summary as a table, and the figures; trackio shows no pages."""
        import trackio

        logged: dict[str, Any] = {}
        if results.summary is not None:
            names, rows = results.summary_columns, results.summary_rows
            logged["summary"] = trackio.Table(columns=names, data=rows)
        for path in results.figures:
            logged[f"figures/{path.stem}"] = trackio.Image(path, caption=path.stem)
        self._run.log(logged)

    def finish(self) -> None:
        """Write the remaining data, and close the run."""
        from trackio import context_vars

        with _silent():
            self._run.finish()
        if context_vars.current_run.get() is self._run:
            context_vars.current_run.set(None)  # else trackio finishes the run again at exit

    def lost(self, reason: str) -> str:
        """Return the warning that names trackio."""
        return f"trackio lost a run ({reason}); the rest of the run is only in the local files"


def open_run(config: ExperimentConfig, about: About) -> TrackioRun:
    """Open a run, or continue the run of the same name."""
    import trackio

    with _silent():
        run = trackio.init(
            project=config.tracker.project or PROJECT,
            # trackio knows a run by its name, so the name holds the arm's identity
            name=f"{about.name} {about.id[:8]}",
            group=config.name,
            config={**about.settings, "kind": about.kind},
            resume="allow",
            private=True,
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
    return TrackioRun(run)


def _silent() -> AbstractContextManager[object]:
    """Discard what trackio prints."""
    # standard output is for the results of commands
    return contextlib.redirect_stdout(io.StringIO())
