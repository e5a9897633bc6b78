"""What stands beside an arm's shards, of settings under which it may change and stay the same arm.

    config.json   the settings of its latest run; provenance says which of them were other ones
    rows.json     the tokens of a packed row that fit the memory, where longer ones did not
    failure.json  why its latest run failed, and where the log is

None has a receipt: they determine nothing.
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
    """What went wrong with an arm, and the log with its traceback."""

    error: str
    log: str

    @property
    def first_line(self) -> str:
        """The error's first line."""
        return next(iter(self.error.strip().splitlines()), "an error without a message")


def publish_failure(directory: Path, failure: Failure) -> None:
    """Write why an arm failed."""
    files.publish_json(directory / FAILURE, failure._asdict())


def read_failure(directory: Path) -> Failure | None:
    """Read why an arm failed; None if it did not, or nothing readable says so."""
    failure = files.read_if_whole(directory / FAILURE)
    if "error" not in failure:
        return None
    return Failure(str(failure["error"]), str(failure.get("log", "")))


def publish_settings(store: Store, config: ExperimentConfig) -> None:
    """Write an arm's `config.json`; say and record what changed since the run before."""
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
    """Write down that rows of so many tokens are the longest that were not found too long."""
    remembered = {"tokens_per_micro_batch": tokens, "under": _memory_settings(config)}
    files.publish_json(store.directory / ROWS, remembered)


def remembered_rows(store: Store, config: ExperimentConfig) -> int | None:
    """Return what `remember_rows` wrote; None if nothing was, or under other settings."""
    remembered = files.read_if_whole(store.directory / ROWS)
    tokens = remembered.get("tokens_per_micro_batch")
    if not isinstance(tokens, int) or remembered.get("under") != _memory_settings(config):
        return None
    return tokens


def _memory_settings(config: ExperimentConfig) -> dict[str, Any]:
    """The settings that decide how much memory a row takes."""
    return config.train.model_dump(mode="json", include=set(RANKS | SAME_GRADIENT))
