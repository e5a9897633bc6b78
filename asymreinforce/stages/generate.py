"""Generate: sample rollouts from the frozen behaviour policy, one shard at a time."""

import contextlib
import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from asymreinforce.config import ExperimentConfig, RolloutConfig
from asymreinforce.data import contracts, repeats
from asymreinforce.data.provenance import run_provenance
from asymreinforce.data.shard_names import place_of, shard_name
from asymreinforce.data.store import Store
from asymreinforce.engines import engine_identity
from asymreinforce.engines.encoding import decode_completions, encode_prompts, warn_of_odd
from asymreinforce.engines.protocol import Drawn, Engine, Job
from asymreinforce.errors import InputError
from asymreinforce.grading.graders import require_known
from asymreinforce.model.checkpoint import load_tokenizer
from asymreinforce.model.fingerprint import checkpoint_fingerprint, require_unchanged
from asymreinforce.model.prompts import identity_of
from asymreinforce.progress import bar, say
from asymreinforce.workers import MakeShards, ShardResult, Shards, Workers, in_this_process

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

StartEngine = Callable[[], AbstractContextManager[Engine]]
"""A function that starts a worker's engine; it is pickled if workers are processes."""


class Part(NamedTuple):
    """The prompts of a shard: ids and tokens."""

    prompt_ids: list[str]
    prompts: list[list[int]]


def rollout_store(
    config: ExperimentConfig, *, checkpoint: Path, prompts: Store, parent: Path
) -> Store:
    """Return the store of the rollouts that the settings name; the store may be empty."""
    # more samples per prompt are further shards of the same store
    sampling = config.sampling.model_dump(exclude={"samples_per_prompt"})
    identity = {
        "stage": "rollouts",
        "contract": contracts.ROLLOUTS.label,
        "policy": checkpoint_fingerprint(
            checkpoint, safetensors_only=config.policy.safetensors_only
        ),
        "prompts": prompts.fingerprint(["train.parquet"]),
        "prompt": identity_of(config),
        "sampling": sampling,
        "engine": engine_identity(config.engine, config.policy),
        "context": config.policy.context,
    }
    return Store(parent, identity, pinned=config.pins.rollouts)


def generate(
    config: ExperimentConfig,
    *,
    checkpoint: Path,
    prompts: Store,
    engine: Engine,
    parent: Path,
    crew: Workers = in_this_process,
    start: StartEngine | None = None,
) -> Store:
    """Sample every missing shard: block after block of samples, chunk after chunk of prompts.

    On CPU, a shard's rows are a function of (checkpoint, prompts, settings, seed, shard),
    whichever worker of the `crew` makes the shard. Workers start their engine by `start` (None:
    they share `engine`). Raises `InputError` if there is no prompt, or if a prompt does not fit
    the context or has other tokens than in an existing shard. Raises `EngineError` if an engine
    draws the completions of another block again.
    """
    require_known(config.task.grader)  # checked first, because generating rollouts is expensive
    store = rollout_store(config, checkpoint=checkpoint, prompts=prompts, parent=parent)
    # from the file's footer, so that memory does not grow with the number of prompts
    questions = contracts.count_rows(prompts.path("train.parquet"), contracts.PROMPTS)
    if not questions:
        raise InputError(f"{prompts.directory / 'train.parquet'}: holds no prompt")
    sampling = config.sampling
    chunks = math.ceil(questions / sampling.prompts_per_shard)
    blocks = math.ceil(sampling.samples_per_prompt / sampling.samples_per_block)
    names = [shard_name(block=b, chunk=c) for b in range(blocks) for c in range(chunks)]
    if store.is_done(names):
        say(f"generate: complete, nothing to do ({store.directory})")
        return store
    with store.held():
        store.plan(names)
        if missing := store.missing(names):
            require_unchanged(
                checkpoint,
                named=str(store.identity["policy"]),
                safetensors_only=config.policy.safetensors_only,
            )
            tokenizer = load_tokenizer(
                checkpoint, trust_remote_code=config.policy.trust_remote_code
            )
            warn_of_odd(_read_questions(prompts.path("train.parquet")), tokenizer, config)
            worker = functools.partial(
                shard_maker,
                config,
                checkpoint=checkpoint.resolve(),
                prompts=prompts.path("train.parquet").resolve(),
                policy=str(store.identity["policy"]),
                start=start or (lambda: contextlib.nullcontext(engine)),
            )
            sizes = {name: _rows_of_shard(name, sampling, questions=questions) for name in names}
            _publish_shards(store, crew(worker, missing), sizes, missing=missing)
            store.record(
                run_provenance(
                    engine=config.engine.name,
                    workers=config.engine.workers,
                    checkpoint=str(checkpoint.absolute()),
                )
            )
        # the plan may have further shards, from a run with more samples per prompt
        if not store.missing():
            store.close()
    return store


def _rows_of_shard(name: str, sampling: RolloutConfig, *, questions: int) -> int:
    """Return the number of rows that a shard will have."""
    _, chunk = place_of(name)
    left = questions - chunk * sampling.prompts_per_shard
    return sampling.samples_per_block * min(sampling.prompts_per_shard, left)


def _publish_shards(
    store: Store, shards: Shards, sizes: dict[str, int], *, missing: list[str]
) -> None:
    total = sum(sizes.values())
    done = total - sum(sizes[name] for name in missing)
    with bar("generate", total=total, unit="completions", done=done) as advance:
        for name, result in shards:
            # no identity names everything that a prompt is made of, such as what a template reads
            repeats.require_same_prompts(store, name, result.facts[repeats.PROMPTS_DIGEST])
            # an engine that takes the same random numbers again repeats another block's completions
            repeats.require_new(store, name, result.rows, result.facts[repeats.DIGEST])
            contracts.publish_table(
                store, name, contracts.ROLLOUTS, result.rows, facts=result.facts
            )
            advance(len(result.rows))


@contextlib.contextmanager
def shard_maker(
    config: ExperimentConfig, *, checkpoint: Path, prompts: Path, policy: str, start: StartEngine
) -> Iterator[MakeShards]:
    """Yield a function that makes the rollouts of named shards; an engine runs in the block.

    Paths must be absolute, because a worker may be a process in another directory.
    """
    sampling, size = config.sampling, config.sampling.prompts_per_shard
    per_block = sampling.samples_per_block
    block_sampling = sampling.model_copy(update={"samples_per_prompt": per_block})
    tokenizer = load_tokenizer(checkpoint, trust_remote_code=config.policy.trust_remote_code)
    with start() as engine:
        engine.load(checkpoint)

        def make_jobs(names: Iterable[str], parts: dict[str, Part]) -> Iterator[Job]:
            for name in names:
                _, chunk = place_of(name)
                questions = _read_prompts(prompts, first=chunk * size, count=size)
                encoded = encode_prompts(
                    questions, tokenizer, config, checkpoint=checkpoint, warns=False
                )
                parts[name] = Part(questions.column("prompt_id").to_pylist(), encoded)
                yield Job(name, encoded, shard_seed(sampling.seed, name))

        def make_shards(names: Iterable[str]) -> Shards:
            parts: dict[str, Part] = {}  # only of the few shards that are in progress
            drawn = engine.sample_jobs(make_jobs(names, parts), block_sampling)
            with contextlib.closing(drawn):
                for name, groups in drawn:
                    first = place_of(name)[0] * per_block
                    part = parts.pop(name)
                    columns = _rollout_columns(
                        part, groups, tokenizer, policy=policy, first_sample=first
                    )
                    rows = contracts.make_table(contracts.ROLLOUTS, columns)
                    facts = {
                        "prompts": len(part.prompts),
                        "rows": len(rows),
                        repeats.DIGEST: repeats.digest_of(rows),
                        repeats.PROMPTS_DIGEST: repeats.prompts_digest_of(rows),
                    }
                    yield name, ShardResult(rows, facts)

        yield make_shards


def _read_questions(path: Path) -> Iterator[dict[str, Any]]:
    """Yield all questions; one row group at a time is in memory."""
    with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, use_threads=False).to_pylist()


def _read_prompts(path: Path, *, first: int, count: int) -> pa.Table:
    """Read `count` prompts from the row groups that hold them, without reading the others."""
    parts, start = [], 0
    with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            low, high = max(first, start), min(first + count, end)
            if low < high:
                rows = file.read_row_group(group, use_threads=False)
                parts.append(rows.slice(low - start, high - low))
            start = end
    rows = pa.concat_tables(parts).replace_schema_metadata(None)
    return contracts.check_table(contracts.PROMPTS, rows, where=str(path))


def shard_seed(seed: int, name: str) -> int:
    """Return a shard's seed, derived from `sampling.seed` and the shard's name."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7])


def _rollout_columns(
    part: Part,
    drawn: Drawn,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    policy: str,
    first_sample: int,
) -> dict[str, list[Any]]:
    rows = [
        (prompt_id, first_sample + index, prompt, completion)
        for prompt_id, prompt, group in zip(part.prompt_ids, part.prompts, drawn, strict=True)
        for index, completion in enumerate(group)
    ]
    return {
        "prompt_id": [row[0] for row in rows],
        "sample": [row[1] for row in rows],
        "policy": [policy] * len(rows),
        "prompt_token_ids": [row[2] for row in rows],
        "completion_token_ids": [row[3].token_ids for row in rows],
        "finish_reason": [row[3].finish_reason for row in rows],
        "text": decode_completions([row[3] for row in rows], tokenizer),
        "behaviour_logps": [row[3].logps for row in rows],
    }
