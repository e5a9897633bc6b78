"""Files beside an arm's shards that may change while the arm stays the same.

    config.json   the settings of the latest run; `provenance/` records changes between runs
    rows.json     the longest packed row (tokens) that fits the memory, if longer rows did not fit
    failure.json  why the latest run failed, and the path of its log

These files determine nothing and have no receipts.
"""

from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.config import RANKS, SAME_GRADIENT, ExperimentConfig
from asymreinforce.data import files
from asymreinforce.data.provenance import run_provenance
from asymreinforce.data.store import Store
from asymreinforce.progress import say

CONFIG = "config.json"
ROWS = "rows.json"
FAILURE = "failure.json"


class Failure(NamedTuple):
    """The error of an arm that failed, and the path of the log with the traceback."""

    error: str
    log: str

    @property
    def first_line(self) -> str:
        """The error's first line."""
        return next(iter(self.error.strip().splitlines()), "an error without a message")


def publish_failure(directory: Path, failure: Failure) -> None:
    """Write `failure.json`."""
    files.publish_json(directory / FAILURE, failure._asdict())


def read_failure(directory: Path) -> Failure | None:
    """Read `failure.json`; None if it is absent or damaged."""
    failure = files.read_if_whole(directory / FAILURE)
    if "error" not in failure:
        return None
    return Failure(str(failure["error"]), str(failure.get("log", "")))


def publish_settings(store: Store, config: ExperimentConfig) -> None:
    """Write an arm's `config.json`; print and record settings that changed since the last run."""
    settings = config.model_dump(mode="json")
    before = files.read_if_whole(store.directory / CONFIG).get("train")
    changed = {
        f"train.{key}": {"before": before[key], "now": settings["train"][key]}
        for key in sorted(config.train.beside_the_identity)
        if isinstance(before, dict) and key in before and before[key] != settings["train"][key]
    }
    if changed:
        words = ", ".join(f"{k}={v['now']} (it was {v['before']})" for k, v in changed.items())
        say(f"train: the same arm goes on with {words}")
        store.record(run_provenance(changed=changed))
    files.publish_json(store.directory / CONFIG, settings)


def remember_rows(store: Store, config: ExperimentConfig, tokens: int) -> None:
    """Write `rows.json`: packed rows of `tokens` tokens are the longest that may fit the memory."""
    remembered = {"tokens_per_micro_batch": tokens, "under": _memory_settings(config)}
    files.publish_json(store.directory / ROWS, remembered)


def remembered_rows(store: Store, config: ExperimentConfig) -> int | None:
    """Return the tokens in `rows.json`; None if it is absent or of other memory settings."""
    remembered = files.read_if_whole(store.directory / ROWS)
    tokens = remembered.get("tokens_per_micro_batch")
    if not isinstance(tokens, int) or remembered.get("under") != _memory_settings(config):
        return None
    return tokens


def _memory_settings(config: ExperimentConfig) -> dict[str, Any]:
    """Return the settings that decide how much memory a packed row takes."""
    return config.train.model_dump(mode="json", include=set(RANKS | SAME_GRADIENT))
