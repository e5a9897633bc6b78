"""Read shards of rollouts as rows for a grader, and write its verdicts as a shard."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.grading.failures import count_failed, count_out_of_time, first_failures
from asymreinforce.grading.pool.pool import grader_pool
from asymreinforce.grading.questions import KEY_COLUMNS, Gold, Questions
from asymreinforce.grading.verdict import GradedRow, Verdict
from asymreinforce.workers import MakeShards, ShardResult, one_by_one

ROWS = 256
"""Rows read at once; the progress bar moves after each such batch."""


@contextlib.contextmanager
def shard_judge(
    *, rollouts: Path, prompts: Path, grader: dict[str, str], reward: RewardConfig
) -> Iterator[MakeShards]:
    """Yield a function from shard names to shards of verdicts, with a grader pool running.

    Paths must be absolute, since a worker may have started in another directory. The caller has
    checked that rollouts and prompts belong together.
    """
    store, questions = Store.open(rollouts), Questions(prompts)
    with grader_pool(grader["name"], reward) as pool:

        def make(name: str) -> ShardResult:
            rows = read_rows([name], rollouts=store, questions=questions)
            keys = read_shard(store, name, KEY_COLUMNS)
            return made_of(keys, list(pool.grade(rows)), grader=grader)

        yield one_by_one(make)


def made_of(keys: pa.Table, judged: list[Verdict], *, grader: dict[str, str]) -> ShardResult:
    """Return a shard of verdicts with the counts of failed and late rows for its receipt."""
    facts = {
        "unjudged": count_failed(judged),
        "failures": first_failures(judged, keys),
        "out_of_time": count_out_of_time(judged),
    }
    return ShardResult(verdict_rows(keys, judged, grader=grader), facts)


def chunk_of(shard: str) -> str:
    """Return the chunk of prompts of a shard: `p00012` for `rollouts-s003-p00012.parquet`."""
    return shard.split("-")[2].split(".")[0]


def read_rows(names: list[str], *, rollouts: Store, questions: Questions) -> Iterator[GradedRow]:
    """Yield a row for the grader for each rollout, shard after shard, read lazily."""
    chunk, golds = "", dict[str, Gold]()
    for name in names:
        texts = read_shard(rollouts, name, ["prompt_id", "text"])
        if chunk != chunk_of(name):  # all shards of a chunk share prompts, so earlier golds can go
            golds = {}
        chunk = chunk_of(name)
        new = pc.unique(texts.column("prompt_id"))
        if any(prompt_id not in golds for prompt_id in new.to_pylist()):
            golds |= questions.golds(new)
        for batch in texts.to_batches(max_chunksize=ROWS):
            for prompt_id, text in zip(*(column.to_pylist() for column in batch), strict=True):
                gold = golds[prompt_id]
                yield GradedRow(gold.metadata, gold.gold_answer, text)


def verdict_rows(keys: pa.Table, judged: list[Verdict], *, grader: dict[str, str]) -> pa.Table:
    """Return the verdicts on the rollouts of a shard as rows of the VERDICTS contract."""
    columns = {
        "prompt_id": keys.column("prompt_id"),
        "sample": keys.column("sample"),
        "status": [verdict.status for verdict in judged],
        "truncated": pc.equal(keys.column("finish_reason"), "length"),
        "grader": [grader["name"]] * len(judged),
        "grader_version": [grader["version"]] * len(judged),
        "score": [verdict.score for verdict in judged],
        "extracted_answer": [verdict.extracted_answer for verdict in judged],
    }
    return contracts.make_table(contracts.VERDICTS, columns)


def read_shard(rollouts: Store, name: str, columns: list[str]) -> pa.Table:
    """Read some columns of a shard of rollouts."""
    return contracts.read_table(rollouts.directory / name, contracts.ROLLOUTS, columns=columns)
