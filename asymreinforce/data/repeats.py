"""Check that blocks of a chunk hold the same prompts, and do not hold the same completions.

Blocks of a chunk hold completions of the same prompts, drawn independently. A wrongly seeded engine
would draw completions of another block again, token by token. By chance, a second draw of a shard
gives the same rows with probability mu(rows) = exp(sum of log mu over all tokens).
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
"""The key of the completions' checksum in a shard's receipt."""
PROMPTS_DIGEST = "prompts_sha256"
"""The key of the checksum of prompt ids and prompt tokens."""
RAREST = math.log(1e-9)
"""Equal completions with a higher log-probability may be chance."""
GREEDY = 1e-4
"""Below this temperature equal completions are expected, whatever their log mu is."""


def digest_of(rows: pa.Table) -> str:
    """Return the SHA-256 of the completions of a shard of rollouts, in the order of its rows."""
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
    # The lengths are hashed too: the same tokens may be cut into other completions.
    for values in (pc.list_value_length(lists), lists.flatten()):
        sums.update(values.cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes())
    return sums.hexdigest()


def require_same_prompts(store: Store, name: str, digest: str) -> None:
    """Raise `InputError` if a shard's prompts differ from another block of its chunk."""
    # The set's identity names everything that makes its prompts, except what it cannot see, such as
    # a file that a template reads or the version of a tokenizer's library.
    for other in _other_blocks(store, name):
        known = _digest_in(store, other, PROMPTS_DIGEST)
        if known is None:
            continue
        if known != digest:
            raise InputError(
                f"{store.directory / name}: its prompts have other tokens than in {other}, so that "
                "one prompt_id would stand for two prompts. Data that your template reads, or a "
                "library, has changed since (a fingerprint() beside the template adds such data to "
                "the identity). Nothing was published; delete the directory to draw the set again"
            )
        return  # the other blocks were compared with this block before


def require_new(store: Store, name: str, rows: pa.Table, digest: str) -> None:
    """Raise `EngineError` if a shard's completions repeat another block of the same prompts.

    Reads receipts, and the rows of old shards whose receipts hold no digest.
    """
    if store.identity["sampling"]["temperature"] < GREEDY or _log_chance(rows) > RAREST:
        return
    for other in _other_blocks(store, name):
        if _digest_in(store, other, DIGEST) == digest:
            raise EngineError(
                f"{store.directory / name}: its {len(rows)} completions equal those of {other}, "
                "token by token, which happens by chance less than once in 10^9 times; the engine "
                "drew the same random numbers twice. The shard was not published. Draw the set "
                "with another sampling.seed, or with engine=transformers, and report this"
            )


def _log_chance(rows: pa.Table) -> float:
    """Return log mu of all rows: the log-probability that a second draw gives the same rows."""
    logps = pc.list_flatten(rows.column("behaviour_logps"))
    return float(pc.sum(logps).as_py() or 0.0)


def _other_blocks(store: Store, name: str) -> list[str]:
    """Name the shards of the same chunk of prompts in other blocks."""
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
