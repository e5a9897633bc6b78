"""The prompts of the rollouts to judge: checked once, then read for one chunk at a time.

Gold answers that a grader cannot use are refused before anything is graded and before an arm
trains, since every completion would silently be wrong.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asymreinforce.data import contracts
from asymreinforce.data.contracts import FinishReason
from asymreinforce.data.gold_answers import accepted_answers
from asymreinforce.errors import InputError
from asymreinforce.grading.graders import GRADERS, require_known
from asymreinforce.plugins import is_plugin

KEY_COLUMNS = ["prompt_id", "sample", "finish_reason"]
COLUMNS = ["prompt_id", "gold_answer", "metadata"]
PROMPTS_AT_ONCE = 1_024
BUFFER_BYTES = 1 << 16
SHOWN = 40
"""Characters of a gold answer that a message quotes."""


class Gold(NamedTuple):
    """The part of a question that a grader is given."""

    gold_answer: str
    metadata: str | None


class Questions:
    """A parquet file of prompts; memory holds 8 bytes (a hash of the id) for each prompt.

    Raises `InputError` if the file is damaged, is not of the PROMPTS contract, or repeats an id.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if (label := contracts.read_label(path)) != contracts.PROMPTS.label:
            raise InputError(
                f"{path}: holds {label or 'no contract of this software'}, not "
                f"{contracts.PROMPTS.label}; point at the prompts of these rollouts"
            )
        hashes = [_hash_ids(rows.column("prompt_id")) for rows in self.tables(checked=True)]
        hash_P = np.sort(np.concatenate([np.zeros(0, np.uint64), *hashes]))
        if repeated := int((np.diff(hash_P) == 0).sum()):
            raise InputError(f"{path}: {repeated} rows repeat a prompt_id; each must stand once")
        # One more entry, so that `searchsorted` always returns a valid place.
        self._hash_P = np.append(hash_P, np.iinfo(np.uint64).max)
        self._endless = itertools.chain.from_iterable(self.tables() for _ in itertools.repeat(None))
        self._batches = len(hashes)
        self._rows_at_hand: list[pa.Table] = []

    def check(self, chunks: Mapping[str, Iterable[Path]]) -> int:
        """Check that the rollouts of all chunks belong to these prompts; return the number of rows.

        Raises `InputError` for a damaged shard, a repeated (prompt_id, sample), an unknown prompt,
        a prompt in two chunks, and an unknown finish reason.
        """
        rows = 0
        chunk_P = np.full(len(self._hash_P), -1, dtype=np.int32)
        for number, (chunk, paths) in enumerate(chunks.items()):
            shards = list(paths)
            tables = [
                contracts.read_table(p, contracts.ROLLOUTS, columns=KEY_COLUMNS) for p in shards
            ]
            where = str(shards[0]) if len(shards) == 1 else f"{shards[0].parent}, chunk {chunk}"
            keys = contracts.check_table(
                contracts.ROLLOUTS, pa.concat_tables(tables), where=where, columns=KEY_COLUMNS
            )
            place_B = self._places_of_prompts(keys.column("prompt_id"), where=where)
            if (taken := np.flatnonzero(~np.isin(chunk_P[place_B], (-1, number)))).size:
                prompt = keys.column("prompt_id")[int(taken[0])]
                raise InputError(
                    f"{where}: prompt {prompt} stands in another chunk too; all rollouts of a "
                    "prompt belong in one"
                )
            chunk_P[place_B] = number
            _require_finish_reasons(keys.column("finish_reason"), where=where)
            rows += len(keys)
        return rows

    def golds(self, prompt_ids: pa.ChunkedArray) -> dict[str, Gold]:
        """Return the gold answers and metadata of some prompts.

        Raises `InputError` if the file no longer holds one of them.
        """
        wanted = pc.unique(prompt_ids)
        gold_of_prompt: dict[str, Gold] = {}
        # Chunks mostly come in the file's order, so reading goes on after the last prompts, and
        # from the start again at the end of the file.
        batches = itertools.chain(self._rows_at_hand, self._endless)
        for rows in itertools.islice(batches, self._batches + 1):
            self._rows_at_hand = [rows]
            kept = rows.filter(pc.is_in(rows.column("prompt_id"), value_set=wanted))
            columns = (kept.column(name).to_pylist() for name in COLUMNS)
            gold_of_prompt |= {row[0]: Gold(*row[1:]) for row in zip(*columns, strict=True)}
            if len(gold_of_prompt) == len(wanted):
                return gold_of_prompt
        raise InputError(f"{self._path}: changed while it was read; run 'asymrl score' again")

    def tables(self, *, checked: bool = False) -> Iterator[pa.Table]:
        """Yield the ids, gold answers and metadata of all prompts, one batch at a time."""
        where, options = str(self._path), {"columns": COLUMNS, "use_threads": False}
        try:
            with pq.ParquetFile(
                self._path, page_checksum_verification=True, buffer_size=BUFFER_BYTES
            ) as file:
                for batch in file.iter_batches(PROMPTS_AT_ONCE, **options):
                    rows = pa.Table.from_batches([batch]).replace_schema_metadata(None)
                    if checked:
                        contracts.check_table(contracts.PROMPTS, rows, where=where, columns=COLUMNS)
                    yield rows
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self._path}: damaged parquet ({error}); make it again") from error

    def _places_of_prompts(self, prompt_ids: pa.ChunkedArray, *, where: str) -> np.ndarray:
        hash_B = _hash_ids(prompt_ids)
        place_B = np.searchsorted(self._hash_P, hash_B)
        if (unknown := np.flatnonzero(self._hash_P[place_B] != hash_B)).size:
            raise InputError(
                f"{where}: {len(unknown)} of {len(hash_B)} rows are of prompts that "
                f"{self._path} does not hold, such as {prompt_ids[int(unknown[0])]}; point at "
                "the prompts that these rollouts were drawn from"
            )
        return place_B


def _hash_ids(prompt_ids: pa.ChunkedArray) -> np.ndarray:
    """Hash ids to 64 bits: of files with a million ids, one in 40 million has a collision."""
    unique = pc.unique(prompt_ids)
    digests = b"".join(
        hashlib.blake2b(prompt_id.encode(), digest_size=8).digest()
        for prompt_id in unique.to_pylist()
    )
    places_B = pc.index_in(prompt_ids, value_set=unique).to_numpy()
    return np.asarray(np.frombuffer(digests, np.uint64)[places_B])


def _require_finish_reasons(reasons: pa.ChunkedArray, *, where: str) -> None:
    known = pa.array(get_args(FinishReason))
    strange = reasons.filter(pc.invert(pc.is_in(reasons, value_set=known)))
    if len(strange):
        raise InputError(
            f"{where}: {len(strange)} rows have the finish_reason {strange[0].as_py()!r}, "
            f"which is none of {', '.join(known.to_pylist())}"
        )


def require_usable(
    grader: str, tables: Iterable[pa.Table], *, where: Path, setting: str = "task.grader"
) -> None:
    """Raise `InputError` if a built-in grader cannot use some gold answer of the PROMPTS tables.

    Raises `ConfigError` for an unknown grader. The message names the `setting` of the grader.
    """
    require_known(grader)
    if is_plugin(grader):  # only its author knows which gold answers it can use
        return
    can_use, prompts, unusable = GRADERS[grader].can_use, 0, list[tuple[str, str]]()
    for table in tables:
        for row in table.select([n for n in COLUMNS if n in table.column_names]).to_pylist():
            prompts += 1
            golds = accepted_answers(row.get("metadata"), row["gold_answer"])
            unusable += [(row["prompt_id"], gold) for gold in golds if not can_use(gold)][:1]
    if unusable:
        prompt_id, gold = unusable[0]
        raise InputError(
            f"{where}: {setting}={grader} cannot use {len(unusable)} of {prompts} gold answers, "
            f"such as {gold[:SHOWN]!r} of prompt {prompt_id}: it needs {GRADERS[grader].needs}"
        )
