"""Read stored rollouts with their verdicts and rewards, one chunk of prompts at a time.

Shapes: B rollouts of a chunk.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.data.rows import Judged
from asymreinforce.data.shard_names import published_shards
from asymreinforce.data.store import Store
from asymreinforce.data.verdict_sets import VerdictSets, scores_of
from asymreinforce.errors import InputError
from asymreinforce.rewards.scale import (
    COUNTING,
    Rewards,
    cut_off,
    outcome_names,
    rewards_of,
    total_rewards,
)
from asymreinforce.viewing.stored import StoredSet

KEYS = ["prompt_id", "sample", "policy", "finish_reason"]
ROW = KEYS[:2]
ORDER = [("prompt_id", "ascending"), ("sample", "ascending")]


class JudgedChunk(NamedTuple):
    """The rollouts of a chunk of prompts, with verdicts and rewards of those that are judged."""

    names: list[str]
    """The names of the chunk's shards."""
    keys: pa.Table
    """The columns `KEYS` of all rollouts."""
    verdicts: pa.Table | None
    rewards: Rewards | None
    """The rewards of `verdicts`; None unless every grader of the reward judged these shards."""
    outcomes: list[str]
    """The outcome of each row of `verdicts`."""


def read_judged(
    stored: StoredSet,
    verdicts: Store | None,
    *,
    reward: RewardConfig,
    others: Mapping[str, Store],
) -> Iterator[JudgedChunk]:
    """Yield the chunks of a set of rollouts, with rows in order of prompt and sample.

    `others` holds the verdicts of further graders of `reward.graders`, by grader.
    """
    published = published_shards(stored.rollouts)
    scale = scale_of(verdicts, reward)
    # only the length penalty needs the number of tokens
    columns = [*KEYS, "completion_token_ids"] if scale.overlong.max_tokens else KEYS
    for chunk in sorted({name.split("-p")[1] for name in published}):
        names = [name for name in published if name.endswith(f"-p{chunk}")]
        keys = read_shards(stored.rollouts, names, contracts.ROLLOUTS, columns)
        judged = [name for name in names if verdicts and verdicts.receipt(name)]
        if not verdicts or not judged:
            yield JudgedChunk(names, keys, None, None, [])
            continue
        table = read_shards(verdicts, judged, contracts.VERDICTS, None)
        correct_B = rewards_of(table, scale).correct_B
        outcomes = outcome_names(table.column("status").to_pylist(), correct_B)
        known = _read_known(VerdictSets(verdicts, others), judged, table, keys)
        rewards = total_rewards(known, scale) if known else None
        yield JudgedChunk(names, keys, table, rewards, outcomes)


def mean_reward(chunks: Iterable[JudgedChunk], *, where: Path) -> float:
    """Return the mean reward over all chunks; raises `InputError` if no rollout was judged.

    `where` is the directory that the error names.
    """
    rewards = [chunk.rewards for chunk in chunks if chunk.rewards]
    kept = [of_chunk.reward_B[of_chunk.kept_B] for of_chunk in rewards]
    if not sum(map(len, kept)):
        raise InputError(f"{where}: no rollout was judged, so there is no mean reward")
    return float(np.concatenate(kept).mean())


def scale_of(verdicts: Store | None, reward: RewardConfig) -> RewardConfig:
    """Return `reward`, with the rule of what counts as correct from a scored set of verdicts."""
    stored = dict(verdicts.facts.get("scale", {})) if verdicts else {}
    return reward.model_copy(update={name: stored[name] for name in COUNTING if name in stored})


def read_shards(
    store: Store, names: list[str], contract: contracts.Contract, columns: list[str] | None
) -> pa.Table:
    """Read the rows of shards, in order of prompt and sample."""
    return contracts.read_shards(store, names, contract, columns=columns).sort_by(ORDER)


def _read_known(
    sets: VerdictSets, names: list[str], table: pa.Table, keys: pa.Table
) -> Judged | None:
    """Return the scores and lengths behind the rewards of `table`.

    None if a grader has not judged all shards. Lengths are None if `keys` lacks token ids.
    """
    if not all(store.receipt(name) for store in sets.others.values() for name in names):
        return None
    others = sets.read_others(
        table, lambda store: read_shards(store, names, contracts.VERDICTS, None)
    )
    by_grader = {name: scores_of(other) for name, other in others.items()}
    return Judged(scores_of(table), cut_off(table), by_grader, _lengths(table, keys))


def _lengths(table: pa.Table, keys: pa.Table) -> np.ndarray | None:
    if "completion_token_ids" not in keys.column_names:
        return None
    tokens = pc.list_value_length(keys.column("completion_token_ids"))
    by_row = keys.select(ROW).append_column("tokens", tokens)
    joined = table.select(ROW).join(by_row, ROW).sort_by(ORDER)
    tokens_B: np.ndarray = joined.column("tokens").to_numpy()
    return tokens_B
