"""Find the checkpoint from which a run resumes: a full one, or a later interrupted one.

    interrupted/weights          like the weights of a checkpoint
    interrupted/state            like the state of a checkpoint
    interrupted/metrics.parquet  metrics of the steps since the checkpoint before

The interrupted checkpoint is a shard with a receipt that is in no plan. It is dropped at the next
checkpoint, so that an interrupted arm ends with the same files as any other arm
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
    """The step and files from which a run resumes; the paths are None if it starts at mu."""

    step: int = 0
    weights: Path | None = None
    state: Path | None = None
    unpublished: tuple[dict[str, Any], ...] = ()
    """The metrics of steps that no checkpoint has published yet."""


def where_to_resume(store: Store, round_: Round, ranks: Ranks) -> Source:
    """Return the source from which the arm resumes; every rank must call, the first rank looks."""
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
    # an interrupted checkpoint continues one full checkpoint, and is stale after any other
    if receipt is None or receipt.facts.get("after") != after or not store.is_valid(INTERRUPTED):
        return after
    return int(receipt.facts["step"])
