"""Generate: rollouts of the frozen behaviour policy, a shard at a time."""

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.provenance import provenance
from asymreinforce.data.rollouts import shard_name
from asymreinforce.data.store import Store
from asymreinforce.engines.protocol import Completion, Engine
from asymreinforce.errors import InputError
from asymreinforce.policy.checkpoint import fingerprint, load_tokenizer
from asymreinforce.policy.encoding import encode_prompts, texts
from asymreinforce.progress import bar, say

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KEPT_SAMPLING = (
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "samples_per_block",
    "prompts_per_shard",
)
"""All of sampling but the number of samples: more of them are more shards of the same set."""


def rollout_store(
    config: ExperimentConfig, *, checkpoint: Path, prompts: Store, engine: Engine, parent: Path
) -> Store:
    """Return the store of the rollouts that the settings name, made or not."""
    sampling = config.sampling.model_dump()
    identity = {
        "stage": "rollouts",
        "contract": contracts.ROLLOUTS.label,
        "policy": fingerprint(checkpoint, safetensors_only=config.policy.safetensors_only),
        "prompts": prompts.fingerprint(["train.parquet"]),
        "prompt": config.task.rendering,
        "sampling": {key: sampling[key] for key in KEPT_SAMPLING},
        "engine": engine.identity(),
        "context": config.policy.context,
    }
    return Store(parent, identity, pinned=config.pins.rollouts)


def generate(
    config: ExperimentConfig, *, checkpoint: Path, prompts: Store, engine: Engine, parent: Path
) -> Store:
    """Sample every missing shard: block after block of samples, chunk after chunk of prompts.

    A shard's rows are a function of (checkpoint, prompts, settings, seed, shard) on CPU.
    Raises `InputError` where there is no prompt or one does not fit the context.
    """
    store = rollout_store(
        config, checkpoint=checkpoint, prompts=prompts, engine=engine, parent=parent
    )
    questions = contracts.read(prompts.path("train.parquet"), contracts.PROMPTS)
    if not len(questions):
        raise InputError(f"{prompts.directory / 'train.parquet'}: holds no prompt")
    sampling = config.sampling
    chunks = math.ceil(len(questions) / sampling.prompts_per_shard)
    blocks = math.ceil(sampling.samples_per_prompt / sampling.samples_per_block)
    names = {shard_name(block=b, chunk=c): (b, c) for b in range(blocks) for c in range(chunks)}
    if store.is_done(names):
        say(f"generate: complete, nothing to do ({store.directory})")
        return store
    with store.held():
        store.plan(names)
        if missing := store.missing(names):
            _fill(store, missing, names, config, questions, checkpoint=checkpoint, engine=engine)
            store.record(provenance(engine=config.engine.name))
        if not store.missing():
            store.close()
    return store


def _fill(
    store: Store,
    missing: list[str],
    names: dict[str, tuple[int, int]],
    config: ExperimentConfig,
    questions: pa.Table,
    *,
    checkpoint: Path,
    engine: Engine,
) -> None:
    sampling, size = config.sampling, config.sampling.prompts_per_shard
    tokenizer = load_tokenizer(checkpoint, trust_remote_code=config.policy.trust_remote_code)
    block_sampling = sampling.model_copy(update={"samples_per_prompt": sampling.samples_per_block})
    per_block = sampling.samples_per_block
    total = len(questions) * per_block * len({b for b, _ in names.values()})
    done = total - sum(
        per_block * len(questions.slice(names[name][1] * size, size)) for name in missing
    )
    engine.load(checkpoint)
    with bar("generate", total=total, unit="completions", done=done) as advance:
        for name in missing:
            block, chunk = names[name]
            part = questions.slice(chunk * size, size)
            prompts = encode_prompts(part, tokenizer, config, checkpoint=checkpoint)
            drawn = engine.sample(prompts, block_sampling, seed=shard_seed(sampling.seed, name))
            rows = contracts.table(
                contracts.ROLLOUTS,
                _columns(
                    part.column("prompt_id").to_pylist(),
                    prompts,
                    drawn,
                    tokenizer,
                    policy=str(store.identity["policy"]),
                    first_sample=block * per_block,
                ),
            )
            store.publish(
                name,
                lambda path, rows=rows: contracts.write(  # type: ignore[misc]
                    path, contracts.ROLLOUTS, rows, identity=store.hash
                ),
                facts={"prompts": len(part), "rows": len(rows)},
            )
            advance(len(rows))


def shard_seed(seed: int, name: str) -> int:
    """Derive a shard's seed from the set's seed and the shard's name."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7])


def _columns(
    prompt_ids: list[str],
    prompts: list[list[int]],
    drawn: list[list[Completion]],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    policy: str,
    first_sample: int,
) -> dict[str, list[Any]]:
    rows = [
        (prompt_id, first_sample + index, prompt, completion)
        for prompt_id, prompt, group in zip(prompt_ids, prompts, drawn, strict=True)
        for index, completion in enumerate(group)
    ]
    return {
        "prompt_id": [row[0] for row in rows],
        "sample": [row[1] for row in rows],
        "policy": [policy] * len(rows),
        "prompt_token_ids": [row[2] for row in rows],
        "completion_token_ids": [row[3].token_ids for row in rows],
        "finish_reason": [row[3].finish_reason for row in rows],
        "text": texts([row[3] for row in rows], tokenizer),
        "behaviour_logps": [row[3].logps for row in rows],
    }
