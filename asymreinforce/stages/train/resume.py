"""Where a run goes on from: a full checkpoint, or an interrupted one between two.

    interrupted/weights          as a checkpoint
    interrupted/state            as the state of a checkpoint
    interrupted/metrics.parquet  of the steps since the checkpoint before

The interrupted checkpoint is a shard with a receipt that no plan announces. It is dropped at the
next checkpoint: an arm that was interrupted ends with the files of one that was not
(`schedule.PASSING`).
"""

from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.stages.train.schedule import Round, state_shard, weights_shard
from asymreinforce.update.ranks import Ranks

INTERRUPTED = "interrupted"
WEIGHTS, STATE, METRICS = "weights", "state", "metrics.parquet"


class Source(NamedTuple):
    """What a run is restored from; the paths are None if it starts at mu."""

    step: int = 0
    weights: Path | None = None
    state: Path | None = None
    unpublished: tuple[dict[str, Any], ...] = ()
    """Metrics of steps that no checkpoint has published yet."""


def where_to_resume(store: Store, round_: Round, ranks: Ranks) -> Source:
    """Return what the arm goes on from; every rank must ask, and the first one looks."""
    checkpoint = round_.at
    if checkpoint is None:
        checkpoint = int(ranks.decided(lambda: round_.schedule.resumable(store)))
    after = checkpoint
    step = int(ranks.decided(lambda: _interrupted_step(store, after=after)))
    if step > checkpoint:
        place = store.path(INTERRUPTED)
        rows = contracts.read_table(place / METRICS, contracts.METRICS).to_pylist()
        return Source(step, place / WEIGHTS, place / STATE, tuple(rows))
    if not step:
        return Source()
    return Source(step, store.path(weights_shard(step)), store.path(state_shard(step)))


def _interrupted_step(store: Store, *, after: int) -> int:
    """Return the step of the interrupted checkpoint if it follows step `after`, else `after`."""
    receipt = store.receipt(INTERRUPTED)
    if receipt is None or receipt.facts.get("after") != after or not store.is_valid(INTERRUPTED):
        return after
    return int(receipt.facts["step"])
