"""Experiment tracking: metrics always go to local files, and to wandb where it is asked for.

In wandb an experiment is a group: a run an arm, and one run more that holds the summary as a table,
the figures, and the page. A run's id is the arm's identity, so that a resumed arm goes on in it.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts, files
from asymreinforce.data.store import hash_of
from asymreinforce.errors import ConfigError
from asymreinforce.progress import say

if TYPE_CHECKING:
    import wandb

SECONDS_TO_CONNECT = 20.0
"""wandb itself waits for 90; WANDB_INIT_TIMEOUT, which it knows as well, says otherwise."""
SECONDS_TO_FINISH = 60.0
"""For what a run has not uploaded at its end; wandb itself waits for ever."""
SUMMARY, FIGURES, PAGE = "summary.parquet", "figures", "report.html"
_is_unreachable = False
"""Whether wandb's server did not answer this process, which does not wait for it again."""


@contextlib.contextmanager
def tracker(config: ExperimentConfig, *, arm: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield `log(metrics)`, where `metrics` names its `step`; a no-op unless `tracker=wandb`."""
    if config.tracker.name == "none":
        yield lambda metrics: None
        return
    name = f"{config.algorithm.name} baseline={config.baseline:g} seed={config.seed}"
    with _Run(config, id_=arm, name=name, kind="arm") as run:
        yield lambda metrics: run.log(
            {k: v for k, v in metrics.items() if v is not None}, step=metrics["step"]
        )


def track_report(config: ExperimentConfig) -> None:
    """Log an experiment's summary, figures and page as one run of its group, if it has a tracker.

    What is not on disk is left out. Raises `ConfigError` where wandb is not installed.
    """
    if config.tracker.name == "none":
        return
    directory = config.directory
    id_ = hash_of([str(directory.resolve()), "summary"])
    with _Run(config, id_=id_, name=f"{config.name} summary", kind="summary") as run:
        run.log(_logged(config))


class _Run:
    """A run of wandb that may be lost: what is tracked never stops what is being tracked."""

    def __init__(self, config: ExperimentConfig, *, id_: str, name: str, kind: str):
        self._config = config
        self._run = _start(config, id_=id_, name=name, kind=kind)
        self._is_lost = False

    def __enter__(self) -> "_Run":
        return self

    def log(self, values: dict[str, Any], *, step: int | None = None) -> None:
        """Log values; from the first failure on, nothing."""
        if not self._is_lost:
            self._try(lambda: self._run.log(values, step=step))

    def __exit__(self, *of_body: object) -> None:
        self._try(self._run.finish)

    def _try(self, send: Callable[[], None]) -> None:
        try:
            send()
        except Exception as error:  # of the network, of wandb's own process, of its protocol
            if not self._is_lost:
                _warn(self._config, "lost a run", error)
            self._is_lost = True


def _logged(config: ExperimentConfig) -> dict[str, Any]:
    import wandb

    found: dict[str, Any] = {}
    if (path := config.directory / SUMMARY).exists():
        rows = contracts.read(path, contracts.SUMMARY)
        columns = [rows.column(name).to_pylist() for name in rows.schema.names]
        data = [list(row) for row in zip(*columns, strict=True)]
        found["summary"] = wandb.Table(columns=rows.schema.names, data=data)
    for path in sorted((config.directory / FIGURES).glob("*.png")):
        found[f"figures/{path.stem}"] = wandb.Image(str(path))
    if (path := config.directory / PAGE).exists():
        found["report"] = wandb.Html(path.read_text(encoding="utf-8"), inject=False)
    return found


def _start(config: ExperimentConfig, *, id_: str, name: str, kind: str) -> "wandb.Run":
    try:
        import wandb
    except ImportError:
        raise ConfigError("tracker=wandb needs wandb; install the extra 'track'") from None
    options: dict[str, Any] = {
        "project": config.tracker.project,
        "group": config.name,
        "job_type": kind,
        "name": name,
        "id": id_,
        "resume": "allow",
        "dir": str(files.make_directory(config.directory)),  # wandb makes its own folder in there
        "config": config.model_dump(mode="json"),
    }
    quiet: dict[str, Any] = {
        "console": "off",
        "silent": True,
        "finish_timeout": SECONDS_TO_FINISH,
        "finish_timeout_raises": True,
    }
    if config.tracker.mode == "online" and not _is_unreachable:
        limit = os.environ.get("WANDB_INIT_TIMEOUT", str(SECONDS_TO_CONNECT))
        settings = wandb.Settings(**quiet, init_timeout=float(limit))
        try:
            return wandb.init(**options, mode="online", settings=settings)
        except wandb.errors.Error as error:
            _warn(config, "could not start a run online", error)
            if wandb.run is None:
                wandb.teardown()  # the run that failed keeps its id in use
            else:
                options["id"] = f"{id_}-offline"
    return wandb.init(**options, mode="offline", settings=wandb.Settings(**quiet))


def _warn(config: ExperimentConfig, what: str, error: Exception) -> None:
    """Say why runs go to files for the rest of this process, and how to upload them."""
    global _is_unreachable
    _is_unreachable = True
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    say(
        f"warning: wandb {what} ({reason[:300]}); runs are tracked offline from here on, "
        f"and 'wandb sync {config.directory}/wandb/*run-*' uploads what was not sent"
    )
