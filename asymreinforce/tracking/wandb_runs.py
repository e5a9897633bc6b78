"""Write runs of wandb, online, or to files for `wandb sync` if the server does not answer.

For settings that are not given, wandb's variables apply: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE,
WANDB_DIR, WANDB_TAGS and all others that wandb reads.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import files
from asymreinforce.failures import first_line
from asymreinforce.progress import say
from asymreinforce.tracking.protocol import About, Point, Results

if TYPE_CHECKING:
    import wandb

PROJECT = "asymreinforce"
SECONDS_TO_CONNECT = 20.0
"""The longest wait for the server; wandb's default is 90. WANDB_INIT_TIMEOUT overrides both."""
SECONDS_TO_FINISH = 60.0
"""The longest wait for a run's last uploads; wandb's default has no limit."""
# a separate axis: wandb refuses a step before the last training step
CHECKPOINT_STEP = "checkpoint"
"""The name of the axis of evaluations."""
_is_unreachable = False
"""Whether the server failed to answer; later runs of this process then do not wait for it."""


class WandbRun:
    """A run of wandb."""

    def __init__(self, run: "wandb.Run", *, place: str):
        self._run, self._place = run, place

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log the metrics of a training step."""
        self._run.log(dict(metrics), step=step)

    def log_evaluation(self, points: Sequence[Point]) -> None:
        """Log accuracies on the axis `checkpoint`."""
        for name in sorted({name.partition("/")[0] for point in points for name in point.numbers}):
            self._run.define_metric(f"{name}/*", step_metric=CHECKPOINT_STEP)
        for point in points:
            self._run.log({CHECKPOINT_STEP: point.step, **point.numbers})

    def log_results(self, results: Results) -> None:
        """Log the summary, a chart of final accuracy against baseline, the figures and the page."""
        import wandb

        logged: dict[str, Any] = {}
        if results.summary is not None:
            names, rows = results.summary_columns, results.summary_rows
            logged["summary"] = wandb.Table(columns=names, data=rows)
            chosen = [names.index("baseline"), names.index("accuracy")]
            pairs = [[row[place] for place in chosen] for row in rows]
            table = wandb.Table(columns=["baseline", "accuracy"], data=pairs)
            logged["accuracy_by_baseline"] = wandb.plot.scatter(
                table, "baseline", "accuracy", title="accuracy at the last step, by baseline"
            )
        for path in results.figures:
            logged[f"figures/{path.stem}"] = wandb.Image(str(path))
        if results.page:
            logged["report"] = wandb.Html(results.page.read_text(encoding="utf-8"), inject=False)
        self._run.log(logged)

    def finish(self) -> None:
        """Upload the remaining data, for at most `SECONDS_TO_FINISH`."""
        self._run.finish()

    def lost(self, reason: str) -> str:
        """Return the warning; later runs of this process are offline."""
        global _is_unreachable
        _is_unreachable = True
        return _offline("lost a run", reason, place=self._place)


def open_run(config: ExperimentConfig, about: About) -> WandbRun:
    """Open a run online, or offline if the settings say so or the server does not answer."""
    global _is_unreachable
    import wandb

    mode: Any = config.tracker.mode or os.environ.get("WANDB_MODE", "online")
    place = os.environ.get("WANDB_DIR") or str(files.make_directory(config.directory))
    options: dict[str, Any] = {
        "project": config.tracker.project or os.environ.get("WANDB_PROJECT", PROJECT),
        "entity": config.tracker.entity,
        "tags": list(config.tracker.tags) or None,
        "group": config.name,
        "job_type": about.kind,
        "name": about.name,
        "id": about.id,
        "resume": "allow",
        "dir": place,  # wandb creates a folder `wandb` in this directory
        "config": dict(about.settings),
    }
    quiet: dict[str, Any] = {
        "console": "off",
        "silent": True,
        "finish_timeout": SECONDS_TO_FINISH,
        "finish_timeout_raises": True,  # the caller turns the exception into a warning
    }
    if mode == "online" and not _is_unreachable:
        limit = os.environ.get("WANDB_INIT_TIMEOUT", str(SECONDS_TO_CONNECT))
        settings = wandb.Settings(**quiet, init_timeout=float(limit))
        try:
            return WandbRun(wandb.init(**options, mode="online", settings=settings), place=place)
        except wandb.errors.Error as error:
            _is_unreachable = True
            reason = first_line(error)[:300]
            say("warning: " + _offline("could not start a run online", reason, place=place))
            if wandb.run is None:
                wandb.teardown()  # else the failed run keeps its id in use
            else:
                options["id"] = f"{about.id}-offline"
    mode = "offline" if mode == "online" else mode
    run = wandb.init(**options, mode=mode, settings=wandb.Settings(**quiet))
    return WandbRun(run, place=place)


def _offline(what: str, reason: str, *, place: str) -> str:
    """Return the warning that runs are offline from now on, with the reason and the remedy."""
    return (
        f"wandb {what} ({reason}); runs are tracked offline from here on, and "
        f"'wandb sync {place}/wandb/*run-*' uploads the rest"
    )
