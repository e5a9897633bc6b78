"""Join rollouts with their verdicts and questions, and write plain parquet for any library."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asymreinforce.data import contracts
from asymreinforce.data.shard_names import published_shards
from asymreinforce.data.store import Store
from asymreinforce.viewing.stored import StoredSet

KEY = ["prompt_id", "sample"]
JUDGED = ["score", "status", "truncated", "extracted_answer", "grader", "grader_version"]
ORDER = [
    *("prompt_id", "sample", "question", "gold_answer", "policy", "prompt_token_ids"),
    *("completion_token_ids", "behaviour_logps", "finish_reason", "text"),
    *JUDGED,
]


def write_rows(stored: StoredSet, verdicts: Store | None, directory: Path) -> list[Path]:
    """Write one parquet file per shard of the set, and return the paths in order.

    The bytes of shards are checked against their receipts; one shard is in memory at a time.
    """
    names = published_shards(stored.rollouts)
    questions = _questions(stored.directory)
    written = []
    for number, name in enumerate(names):
        # the hub reads the split from such names
        path = directory / f"train-{number:05d}-of-{len(names):05d}.parquet"
        pq.write_table(_joined(stored.rollouts, verdicts, name, questions), path)
        written.append(path)
    return written


def _joined(
    rollouts: Store, verdicts: Store | None, name: str, questions: dict[str, tuple[str, str]]
) -> pa.Table:
    rows = contracts.read_table(rollouts.path(name), contracts.ROLLOUTS)
    places = {key: place for place, key in enumerate(_keys(rows))}
    judged: list[int | None] = [None] * len(rows)
    schema = contracts.VERDICTS.schema
    # without verdicts their columns are null, so that all files have the same schema
    table = schema.empty_table()
    if verdicts and verdicts.receipt(name):
        table = contracts.read_table(verdicts.path(name), contracts.VERDICTS)
        for number, key in enumerate(_keys(table)):
            judged[places[key]] = number
    for column in JUDGED:
        values = table.column(column).combine_chunks().take(pa.array(judged, pa.int64()))
        rows = rows.append_column(pa.field(column, schema.field(column).type), values)
    pairs = [questions.get(id_, (None, None)) for id_ in rows.column("prompt_id").to_pylist()]
    for number, column in enumerate(("question", "gold_answer")):
        texts = pa.array([pair[number] for pair in pairs], pa.string())
        rows = rows.append_column(column, texts)
    # the metadata is for this package's readers alone
    return rows.select(ORDER).replace_schema_metadata(None)


def _keys(table: pa.Table) -> Iterator[tuple[str, int]]:
    return zip(*(table.column(name).to_pylist() for name in KEY), strict=True)


def _questions(directory: Path) -> dict[str, tuple[str, str]]:
    questions: dict[str, tuple[str, str]] = {}
    names = ["prompt_id", "question", "gold_answer"]
    for rows in contracts.prompt_tables(directory, split="train", columns=names):
        columns = (rows.column(name).to_pylist() for name in names)
        questions |= {id_: (question, gold) for id_, question, gold in zip(*columns, strict=True)}
    return questions
