"""Experiment tracking: metrics always go to local files, and to a tracker if one is asked for.

An experiment is a group of runs: a run an arm, with its metrics by step and, once it is evaluated,
held-out accuracy by step; and one run more that holds the summary as a table, and the figures. A
run's id is the arm's identity, so that a resumed arm goes on in it. Each tracker is a module of its
own behind one protocol (`protocol.py`), imported when it is used.
"""

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.store import hash_of
from asymreinforce.errors import ConfigError
from asymreinforce.failures import first_line
from asymreinforce.progress import say
from asymreinforce.tracking import results
from asymreinforce.tracking.protocol import About, Open, Point, Results


class Tracker(NamedTuple):
    """Where a tracker's module is, which package it needs, and the extra that brings that."""

    module: str
    package: str
    extra: str


TRACKERS = {
    "wandb": Tracker("asymreinforce.tracking.wandb_runs", "wandb", "track"),
    "trackio": Tracker("asymreinforce.tracking.trackio_runs", "trackio", "trackio"),
    "tensorboard": Tracker("asymreinforce.tracking.tensorboard_runs", "tensorboard", "tensorboard"),
}


def require_tracker(config: ExperimentConfig) -> None:
    """Raise `ConfigError` if the tracker that is asked for is not installed; import nothing."""
    tracker_ = TRACKERS.get(config.tracker.name)
    if tracker_ and importlib.util.find_spec(tracker_.package) is None:
        raise ConfigError(
            f"tracker={config.tracker.name} needs {tracker_.package}; install the extra "
            f"'{tracker_.extra}', or leave the tracker out"
        )


@contextlib.contextmanager
def tracker(config: ExperimentConfig, *, arm: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield `log(metrics)`, where `metrics` names its `step`; a no-op if there is no tracker."""
    if config.tracker.name == "none":
        yield lambda metrics: None
        return
    name = _arm_name(config.algorithm.name, config.baseline, config.seed)
    with _Guarded(config, About(arm, name, "arm", config.model_dump(mode="json"))) as run:
        yield run.log


def _arm_name(algorithm: str, baseline: float, seed: int) -> str:
    return f"{algorithm} baseline={baseline:g} seed={seed}"


def track_report(config: ExperimentConfig) -> None:
    """Log an experiment's results, if it has a tracker.

    Held-out accuracy by step goes to the run of each arm, and the summary, figures and page to one
    run of the experiment's group. What is not on disk is left out, and what was logged before is
    not logged again. Raises `ConfigError` if the tracker is not installed.
    """
    if config.tracker.name == "none":
        return
    _track_evaluations(config)
    id_ = hash_of([str(config.directory.resolve()), "summary"])
    about = About(id_, f"{config.name} summary", "summary", config.model_dump(mode="json"))
    with _Guarded(config, about) as run:
        run.log_results(results.read_results(config.directory))


def _track_evaluations(config: ExperimentConfig) -> None:
    logged = results.Logged(config)
    for arm in results.evaluated_arms(config.directory):
        if logged.holds(arm):
            continue
        name = _arm_name(arm.algorithm, arm.baseline, arm.seed)
        with _Guarded(config, About(arm.id, name, "arm", arm.settings)) as run:
            run.log_evaluation(arm.points)
        if not run.is_lost:
            logged.add(arm)


class _Guarded:
    """A run that may be lost: what is tracked never stops what is being tracked."""

    def __init__(self, config: ExperimentConfig, about: About):
        require_tracker(config)
        open_run: Open = importlib.import_module(TRACKERS[config.tracker.name].module).open_run
        self._run = open_run(config, about)
        self.is_lost = False

    def __enter__(self) -> "_Guarded":
        return self

    def log(self, metrics: dict[str, Any]) -> None:
        """Log what is known of a step's metrics."""
        known = {n: value for n, value in metrics.items() if n != "step" and value is not None}
        self._send(lambda: self._run.log(known, step=metrics["step"]))

    def log_evaluation(self, points: Sequence[Point]) -> None:
        """Log the accuracies of an arm's checkpoints."""
        self._send(lambda: self._run.log_evaluation(points))

    def log_results(self, results_: Results) -> None:
        """Log the summary, figures and page."""
        self._send(lambda: self._run.log_results(results_))

    def __exit__(self, *of_body: object) -> None:
        self._try_sending(self._run.finish)

    def _send(self, send: Callable[[], None]) -> None:
        """Have something logged; from the first failure on, nothing."""
        if not self.is_lost:
            self._try_sending(send)

    def _try_sending(self, send: Callable[[], None]) -> None:
        try:
            send()
        except Exception as error:  # of the network, of the tracker's own process, of its files
            if not self.is_lost:
                say(f"warning: {self._run.lost(first_line(error)[:300])}")
            self.is_lost = True
