"""Where a run goes on from: a checkpoint, or where it was interrupted between two.

    interrupted/weights          as a checkpoint
    interrupted/state            as the state of a checkpoint
    interrupted/metrics.parquet  of the steps since the checkpoint before

It is a shard with a receipt that no plan announces, and it is dropped at the next checkpoint: an
arm that was interrupted ends with the files of one that was not (`schedule.PASSING`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.stages.train.schedule import state_shard, weights_shard

INTERRUPTED = "interrupted"
METRICS = "metrics.parquet"


class Source(NamedTuple):
    """What a run is restored from; no path where it starts at mu."""

    step: int
    weights: Path | None
    state: Path | None
    rows: list[dict[str, Any]]
    """Metrics of steps that no checkpoint has published yet."""


def saved_step(store: Store, *, after: int) -> int:
    """Return the step of the interrupted checkpoint if it follows step `after`, else `after`."""
    receipt = store.receipt(INTERRUPTED)
    if receipt is None or receipt.facts.get("after") != after or not store.is_valid(INTERRUPTED):
        return after
    return int(receipt.facts["step"])


def source(store: Store, *, checkpoint: int, step: int) -> Source:
    """Return where to restore `step` from: `checkpoint`, unless it was interrupted after that."""
    if step > checkpoint:
        place = store.path(INTERRUPTED)
        rows = contracts.read(place / METRICS, contracts.METRICS).to_pylist()
        return Source(step, place / "weights", place / "state", rows)
    if not step:
        return Source(0, None, None, [])
    return Source(step, store.path(weights_shard(step)), store.path(state_shard(step)), [])


def save(
    store: Store,
    *,
    after: int,
    step: int,
    weights: Callable[[Path], None],
    state: Callable[[Path], None],
    metrics: Callable[[Path], None],
) -> None:
    """Publish where a run stands after a step, to go on from there."""

    def write(place: Path) -> None:
        place.mkdir()
        weights(place / "weights")
        state(place / "state")
        metrics(place / METRICS)

    store.publish(INTERRUPTED, write, facts={"after": after, "step": step})
