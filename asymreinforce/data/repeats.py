"""Shards of other blocks: they must hold the same prompts, and must not hold the same completions.

Blocks of a chunk hold completions of the same prompts, drawn independently. Completions that are
all equal, token by token, are what a wrongly seeded engine would make: either mu leaves nothing to
chance, or random numbers were used twice. How likely the first is, the completions say themselves:
a second draw of a shard gives the same rows with probability mu(rows) = exp(sum of log mu over all
tokens).
"""

import hashlib
import math

import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.data import contracts
from asymreinforce.data.shard_names import place_of
from asymreinforce.data.store import Store
from asymreinforce.errors import EngineError, InputError

DIGEST = "completions_sha256"
"""The fact in a shard's receipt that stands for its completions."""
PROMPTS_DIGEST = "prompts_sha256"
"""The same for its prompts, as ids and as tokens."""
RAREST = math.log(1e-9)
"""Equality that is likelier than this may be chance."""
GREEDY = 1e-4
"""Temperatures below it leave nothing to chance, whatever log mu says of the tokens."""


def digest_of(rows: pa.Table) -> str:
    """Return the SHA-256 of the completions of a shard of rollouts, in their order."""
    return _sum_of_lists(rows, "completion_token_ids")


def prompts_digest_of(rows: pa.Table) -> str:
    """Return the SHA-256 of the prompts of a shard of rollouts, in the order of its rows."""
    names = "\n".join(rows.column("prompt_id").to_pylist())
    return hashlib.sha256(
        f"{names}\n{_sum_of_lists(rows, 'prompt_token_ids')}".encode()
    ).hexdigest()


def _sum_of_lists(rows: pa.Table, name: str) -> str:
    lists = rows.column(name).combine_chunks()
    sums = hashlib.sha256()
    for values in (pc.list_value_length(lists), lists.flatten()):
        sums.update(values.cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes())
    return sums.hexdigest()


def require_same_prompts(store: Store, name: str, digest: str) -> None:
    """Raise `InputError` where a shard's prompts are not those of another block of its chunk.

    The identity of a set names what its prompts are made of. What it cannot see, such as a file
    that a template reads or another version of a tokenizer's library, shows here.
    """
    for other in _other_blocks(store, name):
        known = _digest_in(store, other, PROMPTS_DIGEST)
        if known is None:
            continue
        if known != digest:
            raise InputError(
                f"{store.directory / name}: its prompts are other tokens than in {other}, so that "
                "one prompt_id would stand for two prompts. Data that a template of yours reads, "
                "or a library, changed since (a fingerprint() beside the template makes its data "
                "count). Nothing was published; delete the directory to draw the set anew"
            )
        return  # the others were held against that one


def require_new(store: Store, name: str, rows: pa.Table, digest: str) -> None:
    """Raise `EngineError` where a shard's rows repeat those of another block of its prompts.

    Only receipts are read, and the rows of shards from before receipts held digests.
    """
    if store.identity["sampling"]["temperature"] < GREEDY or _log_chance(rows) > RAREST:
        return
    for other in _other_blocks(store, name):
        if _digest_in(store, other, DIGEST) == digest:
            raise EngineError(
                f"{store.directory / name}: its {len(rows)} completions are those of {other}, "
                "token by token, which chance alone does less than once in 10^9 times; the engine "
                "drew the same random numbers twice. The shard was not published. Draw the set "
                "with another sampling.seed, or with engine=transformers, and report this"
            )


def _log_chance(rows: pa.Table) -> float:
    """Return log mu of all rows: the chance that a second draw gives the same."""
    logps = pc.list_flatten(rows.column("behaviour_logps"))
    return float(pc.sum(logps).as_py() or 0.0)


def _other_blocks(store: Store, name: str) -> list[str]:
    """Name the shards that other blocks have of the same chunk of prompts."""
    _, chunk = place_of(name)
    return [other for other in store.planned if place_of(other)[1] == chunk and other != name]


def _digest_in(store: Store, name: str, fact: str) -> str | None:
    receipt = store.receipt(name)
    if receipt is None:
        return None
    if fact in receipt.facts:
        return str(receipt.facts[fact])
    if not store.is_valid(name):
        return None
    columns = {DIGEST: ["completion_token_ids"], PROMPTS_DIGEST: ["prompt_id", "prompt_token_ids"]}
    path = store.directory / name
    rows = contracts.read_table(path, contracts.ROLLOUTS, columns=columns[fact])
    return digest_of(rows) if fact == DIGEST else prompts_digest_of(rows)
