"""Rollouts of no model, written cheaply, with the prompts that they were drawn from."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from asymreinforce.data import contracts
from asymreinforce.data.shard_names import shard_name
from asymreinforce.data.store import Store


class MadeUp(NamedTuple):
    """A set of rollouts and its prompts."""

    rollouts: Store
    prompts: Path


def right_every_third(prompt: int, sample: int) -> str:
    """Answer right in every third sample, at length in every fifth prompt, else not at all."""
    if prompt % 5 == 4 and sample % 2:
        return " Steps: 1 2 3"
    return f" Answer: {prompt % 7 if sample % 3 == 0 else 'no'}"


def make(
    directory: Path,
    *,
    prompts: int,
    samples: int,
    samples_per_block: int | None = None,
    prompts_per_shard: int = 8,
    text: Callable[[int, int], str] = right_every_third,
) -> MadeUp:
    """Write prompts and rollouts; the gold answer of prompt i is i modulo 7."""
    block_size = samples_per_block or samples
    path = write_prompts(directory / "prompts" / "train.parquet", prompts)
    identity = {
        "stage": "rollouts",
        "policy": "made-up",
        "sampling": {"samples_per_block": block_size, "prompts_per_shard": prompts_per_shard},
    }
    store = Store(directory / "rollouts", identity)
    chunks = range(-(-prompts // prompts_per_shard))
    names = {
        shard_name(block=block, chunk=chunk): (block, chunk)
        for block in range(samples // block_size)
        for chunk in chunks
    }
    store.plan(names)
    for name, (block, chunk) in names.items():
        first = chunk * prompts_per_shard
        publish(
            store,
            name,
            range(first, min(first + prompts_per_shard, prompts)),
            range(block * block_size, (block + 1) * block_size),
            text,
        )
    store.close()
    return MadeUp(store, path)


def write_prompts(path: Path, count: int) -> Path:
    """Write a file of the PROMPTS contract."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "prompt_id": [f"p-{index:07d}" for index in range(count)],
        "question": [f"What is {index} modulo 7?" for index in range(count)],
        "gold_answer": [str(index % 7) for index in range(count)],
    }
    rows = contracts.make_table(contracts.PROMPTS, columns)
    contracts.write_table(path, contracts.PROMPTS, rows, identity="made-up")
    return path


def publish(
    store: Store, name: str, prompts: range, samples: range, text: Callable[[int, int], str]
) -> None:
    """Publish a shard; every tenth row is cut off."""
    prompt_B = np.repeat(np.asarray(prompts), len(samples))
    sample_B = np.tile(np.asarray(samples), len(prompts))
    tokens = pa.array([[1, 2, 3]] * len(prompt_B), contracts.ROLLOUTS.schema.field(3).type)
    rows = contracts.make_table(
        contracts.ROLLOUTS,
        {
            "prompt_id": [f"p-{prompt:07d}" for prompt in prompt_B],
            "sample": pa.array(sample_B, pa.int32()),
            "policy": ["made-up"] * len(prompt_B),
            "prompt_token_ids": tokens,
            "completion_token_ids": tokens,
            "finish_reason": ["length" if p % 10 == 3 else "stop" for p in prompt_B],
            "text": [text(int(p), int(s)) for p, s in zip(prompt_B, sample_B, strict=True)],
        },
    )
    store.publish(
        name,
        lambda path: contracts.write_table(path, contracts.ROLLOUTS, rows, identity=store.hash),
        facts={"prompts": len(prompts), "rows": len(rows)},
    )
