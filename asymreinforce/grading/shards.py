"""Read shards of rollouts as rows for a grader, write its verdicts, and refuse too many failures.

A few rows that a grader could not judge are left out of their groups. Many mean that the grader,
its limits or the data are wrong, which a reward of zero would hide.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.data.contracts import UNJUDGED
from asymreinforce.data.store import Store
from asymreinforce.errors import GraderError
from asymreinforce.grading.pool.pool import grader_pool
from asymreinforce.grading.questions import KEY_COLUMNS, Gold, Questions
from asymreinforce.grading.verdict import LATE, GradedRow, Verdict
from asymreinforce.workers import MakeShards, ShardResult, one_by_one

ROWS = 256
"""Rows read at once; the progress bar moves after each such batch."""
EXAMPLES = 5
"""How many messages of failed rows are shown and recorded."""


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
    places = [place for place, verdict in enumerate(judged) if verdict.status in UNJUDGED]
    facts = {
        "unjudged": len(places),
        "failures": [
            f"{keys.column('prompt_id')[place]}, sample {keys.column('sample')[place]}: "
            f"{judged[place].status} ({judged[place].message})"
            for place in places[:EXAMPLES]
        ],
        # These answers count as wrong.
        "out_of_time": sum(v.status == "ok" and (v.message or "").startswith(LATE) for v in judged),
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


def require_few(
    failures: int,
    *,
    rows: int,
    limit: float,
    grader: str,
    where: Path,
    examples: Sequence[str] = (),
) -> None:
    """Raise `GraderError` if more than the share `limit` of all rows could not be judged."""
    if failures <= limit * rows:
        return
    said = "".join(f"\n  {example}" for example in examples)
    raise GraderError(
        f"{where}: the grader {grader} could not judge {failures} of {rows} rows "
        f"({100 * failures / rows:.1f}%), more than reward.max_error_rate={limit:g}{said}\n"
        "mend the grader, raise reward.cpu_limit_s or reward.memory_limit_mb, or accept it with a "
        "higher reward.max_error_rate; the verdicts made so far are kept"
    )
