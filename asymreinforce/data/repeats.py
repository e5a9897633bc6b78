"""Shards that hold the completions of another one: what a wrongly seeded engine would make.

Blocks of a chunk hold completions of the same prompts, drawn independently. If all of them are
equal, token by token, either mu leaves nothing to chance or random numbers were used twice. How
likely the first is, the completions say themselves: a second draw of a shard gives the same rows
with probability mu(rows) = exp(sum of log mu over all tokens).
"""

import hashlib
import math

import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.data import contracts
from asymreinforce.data.rollouts import place_of
from asymreinforce.data.store import Store
from asymreinforce.errors import EngineError

DIGEST = "completions_sha256"
"""The fact in a shard's receipt that stands for its completions."""
RAREST = math.log(1e-9)
"""Equality that is likelier than this may be chance."""
GREEDY = 1e-4
"""Temperatures below it leave nothing to chance, whatever log mu says of the tokens."""


def digest_of(rows: pa.Table) -> str:
    """Return the SHA-256 of the completions of a shard of rollouts, in their order."""
    completions = rows.column("completion_token_ids").combine_chunks()
    sums = hashlib.sha256()
    for values in (pc.list_value_length(completions), completions.flatten()):
        sums.update(values.cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes())
    return sums.hexdigest()


def require_new(store: Store, name: str, rows: pa.Table, digest: str) -> None:
    """Raise `EngineError` where a shard's rows repeat those of another block of its prompts.

    Only receipts are read, and the rows of shards from before receipts held digests.
    """
    if store.identity["sampling"]["temperature"] < GREEDY or _log_chance(rows) > RAREST:
        return
    _, chunk = place_of(name)
    others = [other for other in store.planned if place_of(other)[1] == chunk and other != name]
    for other in others:
        if _digest_in(store, other) == digest:
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


def _digest_in(store: Store, name: str) -> str | None:
    receipt = store.receipt(name)
    if receipt is None:
        return None
    if DIGEST in receipt.facts:
        return str(receipt.facts[DIGEST])
    if not store.is_valid(name):
        return None
    columns = ["completion_token_ids"]
    return digest_of(contracts.read(store.directory / name, contracts.ROLLOUTS, columns=columns))
