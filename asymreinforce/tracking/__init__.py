"""Track experiments: metrics always go to local files, and to a tracker if one is configured.

An experiment is a group of runs. Each arm has a run with its metrics by step and, after evaluation,
held-out accuracy by step; one further run holds the summary as a table, and the figures. The id of
a run is the arm's identity, so that a resumed arm continues its run. Each tracker is a module
behind one protocol (`protocol.py`), and is imported only if it is used.
"""

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.store import hash_of
from asymreinforce.errors import ConfigError
from asymreinforce.failures import EXTRAS, first_line
from asymreinforce.progress import say
from asymreinforce.tracking import results
from asymreinforce.tracking.protocol import About, Open, Point, Results


def require_tracker(config: ExperimentConfig) -> None:
    """Raise `ConfigError` if the configured tracker is not installed, without importing it."""
    name = config.tracker.name  # also the name of the package that the tracker needs
    if name != "none" and importlib.util.find_spec(name) is None:
        raise ConfigError(
            f"tracker={name} needs {name}; install the extra '{EXTRAS[name]}', or leave the "
            "tracker out"
        )


@contextlib.contextmanager
def tracker(config: ExperimentConfig, *, arm: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function `log(metrics)`, with a key `step`; it does nothing without a tracker."""
    if config.tracker.name == "none":
        yield lambda metrics: None
        return
    name = _arm_name(config.algorithm.name, config.baseline, config.seed)
    with _Guarded(config, About(arm, name, "arm", config.model_dump(mode="json"))) as run:
        yield run.log


def _arm_name(algorithm: str, baseline: float, seed: int) -> str:
    return f"{algorithm} baseline={baseline:g} seed={seed}"


def track_report(config: ExperimentConfig) -> None:
    """Log an experiment's results if a tracker is configured.

    Held-out accuracy by step goes to the run of each arm; the summary, figures and page go to one
    run of the experiment's group. Files that do not exist are left out, and evaluations that were
    logged before are not logged again. Raises `ConfigError` if the tracker is not installed.
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
        # a lost run is logged again by the next command
        if not run.is_lost:
            logged.add(arm)


class _Guarded:
    """A run whose failures become one warning, so that a tracker never stops training."""

    def __init__(self, config: ExperimentConfig, about: About):
        # the import is late: trackers are optional, and slow to import
        require_tracker(config)
        module = importlib.import_module(f"{__name__}.{config.tracker.name}_runs")
        open_run: Open = module.open_run
        self._run = open_run(config, about)
        self.is_lost = False

    def __enter__(self) -> "_Guarded":
        return self

    def log(self, metrics: dict[str, Any]) -> None:
        """Log the metrics of a step that are not None."""
        known = {n: value for n, value in metrics.items() if n != "step" and value is not None}
        self._send(lambda: self._run.log(known, step=metrics["step"]))

    def log_evaluation(self, points: Sequence[Point]) -> None:
        """Log the accuracies of an arm's checkpoints."""
        self._send(lambda: self._run.log_evaluation(points))

    def log_results(self, results_: Results) -> None:
        """Log the summary, the figures and the page."""
        self._send(lambda: self._run.log_results(results_))

    def __exit__(self, *of_body: object) -> None:
        self._try_sending(self._run.finish)

    def _send(self, send: Callable[[], None]) -> None:
        """Call `send`, unless the run has failed before."""
        if not self.is_lost:
            self._try_sending(send)

    def _try_sending(self, send: Callable[[], None]) -> None:
        try:
            send()
        # any exception: the network, the tracker's process and its files can all fail
        except Exception as error:
            if not self.is_lost:
                say(f"warning: {self._run.lost(first_line(error)[:300])}")
            self.is_lost = True
