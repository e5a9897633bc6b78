"""Names of the shards of a set of rollouts, by block of samples and chunk of prompts.

Shard `rollouts-s003-p00012.parquet` holds block 3 of the samples of chunk 12 of the prompts.
"""

import math

from asymreinforce.data.store import Store
from asymreinforce.errors import InputError


def shard_name(*, block: int, chunk: int) -> str:
    """Name the shard of one block of samples and one chunk of prompts."""
    return f"rollouts-s{block:03d}-p{chunk:05d}.parquet"


def place_of(shard: str) -> tuple[int, int]:
    """Return the block of samples and the chunk of prompts of a shard's name."""
    _, block, chunk = shard.removesuffix(".parquet").split("-")
    return int(block.removeprefix("s")), int(chunk.removeprefix("p"))


def published_shards(store: Store) -> list[str]:
    """Name the planned shards of a store that are published."""
    return [name for name in store.planned if store.receipt(name)]


def rows_of_shard(rollouts: Store, name: str) -> int:
    """Return the number of rows of a shard by its receipt, 0 if it is not published."""
    receipt = rollouts.receipt(name)
    return int(receipt.facts["rows"]) if receipt else 0


def has_own_groups(rollouts: Store) -> bool:
    """Tell whether the rollouts were imported, with groups of any size."""
    # only the identity of a generated set has sampling settings
    return "sampling" not in rollouts.identity


def first_shards(rollouts: Store, *, samples: int) -> list[str]:
    """Name the shards that hold the first `samples` samples of every prompt of a set.

    Names all shards of imported rollouts. Raises `InputError` if the set is not planned to hold so
    many samples.
    """
    if has_own_groups(rollouts):
        return list(rollouts.planned)
    blocks = math.ceil(samples / int(rollouts.identity["sampling"]["samples_per_block"]))
    chunks = sorted({name.split("-p")[1].split(".")[0] for name in rollouts.planned})
    names = [shard_name(block=b, chunk=int(c)) for b in range(blocks) for c in chunks]
    if absent := set(names) - set(rollouts.planned):
        raise InputError(
            f"{rollouts.directory}: holds fewer than {samples} samples of each prompt "
            f"({len(absent)} shards more are needed); run 'asymrl generate' and 'asymrl score' "
            f"with sampling.samples_per_prompt={samples}"
        )
    return names


def planned_samples(rollouts: Store) -> int:
    """Return the largest number of samples per prompt that a set of rollouts is planned to hold."""
    if has_own_groups(rollouts):
        return int(rollouts.facts["largest_group"])
    blocks = {place_of(name)[0] for name in rollouts.planned}
    return len(blocks) * int(rollouts.identity["sampling"]["samples_per_block"])
