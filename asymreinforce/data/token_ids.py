"""Read the token ids of a shard of rollouts on first use, a few prompts at a time.

Each row group of a shard holds whole prompts, and the footer holds the lengths of all rows:

    footer       prompt and completion lengths of all rows      to assign a step's rows to ranks
    row group    whole prompts, `GROUP_TOKENS` tokens or more   read by a rank for its rows

A file of an earlier version has no lengths in its footer; all its row groups are read once to count
them. The checksum of each page is compared when the page is read.

Shapes: B rows of a shard.
"""

import base64
import bisect
import contextlib
import functools
import itertools
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asymreinforce.errors import InputError

GROUP_TOKENS = 8192
"""Tokens of a row group, at least, as of one prompt with 8 samples of a thousand tokens each."""
# The samples of a prompt are several rows of a row group.
KEPT_GROUPS = 4
"""Row groups of a shard that stay in memory."""
LENGTHS = b"lengths"
Column = Literal["prompt_token_ids", "completion_token_ids", "behaviour_logps"]


class Lengths(NamedTuple):
    """The number of tokens of each row's prompt and completion."""

    prompt_B: np.ndarray
    completion_B: np.ndarray


def lengths_of(rows: pa.Table) -> Lengths:
    """Count the tokens of each row of a table of rollouts."""
    return Lengths(
        *(_list_lengths(rows.column(f"{part}_token_ids")) for part in ("prompt", "completion"))
    )


def row_groups(rows: pa.Table) -> Iterator[pa.Table]:
    """Cut rows between prompts into parts of at least `GROUP_TOKENS` tokens, except the last."""
    prompt_B = rows.column("prompt_id").to_numpy(zero_copy_only=False)
    tokens_B = np.cumsum(np.sum(lengths_of(rows), axis=0))
    start, before = 0, 0
    for end in np.flatnonzero(prompt_B[1:] != prompt_B[:-1]) + 1:
        if tokens_B[end - 1] - before >= GROUP_TOKENS:
            yield rows.slice(start, end - start)
            start, before = int(end), int(tokens_B[end - 1])
    yield rows.slice(start)


def pack_lengths(lengths: Lengths) -> bytes:
    """Return compressed lengths as text for a parquet footer."""
    return base64.b64encode(zlib.compress(np.asarray(lengths, dtype="<i4").tobytes()))


class ShardTokens:
    """The token ids and log-probabilities of one shard, read on use from a file that stays open.

    Raises `InputError` if the file is damaged.
    """

    def __init__(self, path: Path):
        self._path = path
        with _readable_parquet(path):
            self._file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
        groups = range(self._file.num_row_groups)
        rows = [self._file.metadata.row_group(group).num_rows for group in groups]
        self._starts = [0, *itertools.accumulate(rows)]
        # three columns: prompts, completions and log-probabilities
        self._read = functools.lru_cache(maxsize=3 * KEPT_GROUPS)(self._read_group)

    @functools.cached_property
    def lengths(self) -> Lengths:
        """The lengths of all rows, from the footer or, if it has none, counted."""
        stored = (self._file.metadata.metadata or {}).get(LENGTHS)
        if stored is None:
            return self._count_lengths()
        with _readable_parquet(self._path):
            numbers = np.frombuffer(zlib.decompress(base64.b64decode(stored)), dtype="<i4")
            return Lengths(*numbers.reshape(2, self._starts[-1]))

    def values(self, column: Column, row: int) -> np.ndarray:
        """Return a row's token ids or log-probabilities; reads the row's whole row group."""
        group = bisect.bisect_right(self._starts, row) - 1
        values, offsets = self._read(column, group)
        place = row - self._starts[group]
        row_values: np.ndarray = values[offsets[place] : offsets[place + 1]]
        return row_values

    def largest(self, column: Column, row: int) -> int:
        """Return the largest token of a row's row group, from the footer if it has statistics."""
        group = bisect.bisect_right(self._starts, row) - 1
        columns = self._file.metadata.row_group(group)
        for chunk in map(columns.column, range(columns.num_columns)):
            is_it = chunk.path_in_schema.startswith(f"{column}.")
            if is_it and chunk.statistics and chunk.statistics.has_min_max:
                return int(chunk.statistics.max)
        return int(self._read(column, group)[0].max(initial=0))

    def _read_group(self, column: Column, group: int) -> tuple[np.ndarray, np.ndarray]:
        with _readable_parquet(self._path):
            table = self._file.read_row_group(group, columns=[column], use_threads=False)
        (lists,) = table.combine_chunks().column(column).chunks
        if lists.null_count:
            raise InputError(
                f"{self._path}: {lists.null_count} of {len(lists)} rollouts of a row group have no "
                f"{column}, which this objective needs; use one that needs none "
                "(algorithm=asymre, rloo, positives_only), or rollouts that have them"
            )
        return lists.values.to_numpy(), lists.offsets.to_numpy()

    def _count_lengths(self) -> Lengths:
        columns = ["prompt_token_ids", "completion_token_ids"]
        by_group = [
            lengths_of(self._file.read_row_group(group, columns=columns, use_threads=False))
            for group in range(self._file.num_row_groups)
        ]
        return Lengths(*(np.concatenate(parts) for parts in zip(*by_group, strict=True)))


class Unread:
    """Lazy token ids of one row: the length is known, the values are read on first use.

    The same object means the same tokens; different objects are never compared.
    """

    __slots__ = ("_column", "_length", "_row", "_shard")

    def __init__(self, shard: ShardTokens, column: Column, row: int, length: int):
        self._shard, self._column, self._row, self._length = shard, column, row, length

    def __len__(self) -> int:
        return self._length

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        tokens = self._shard.values(self._column, self._row)
        if len(tokens) != self._length:
            raise InputError(f"row {self._row} of a shard has other lengths than its footer says")
        return np.array(tokens, dtype=dtype) if copy else np.asarray(tokens, dtype=dtype)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.__array__()[part]

    @property
    def largest(self) -> int:
        """An upper bound of the row's token ids, from the footer if it has statistics."""
        return self._shard.largest(self._column, self._row)


def unread_tokens(
    paths: Sequence[Path], *, row_B: np.ndarray, group_B: np.ndarray, with_logps: bool
) -> tuple[list[Any], list[Any], list[Any] | None]:
    """Return lazy prompts, completions and log-probabilities (`Unread`) of rows of several shards.

    `row_B` numbers the rows of all shards, one shard after the other. Consecutive rows of a group
    (`group_B`) share one object for their prompt.
    """
    shards = [ShardTokens(path) for path in paths]
    lengths = [np.stack(shard.lengths) for shard in shards]
    starts = [0, *itertools.accumulate(counts.shape[1] for counts in lengths)]
    prompts: list[Unread] = []
    completions: list[Unread] = []
    logps: list[Unread] = []
    for index, place in enumerate(row_B):
        number = bisect.bisect_right(starts, place) - 1
        shard, row = shards[number], int(place - starts[number])
        prompt, completion = map(int, lengths[number][:, row])
        is_shared = index and group_B[index] == group_B[index - 1] and len(prompts[-1]) == prompt
        prompt_tokens = prompts[-1] if is_shared else Unread(shard, "prompt_token_ids", row, prompt)
        prompts.append(prompt_tokens)
        completions.append(Unread(shard, "completion_token_ids", row, completion))
        if with_logps:
            logps.append(Unread(shard, "behaviour_logps", row, completion))
    return prompts, completions, logps if with_logps else None


def largest_token(tokens: Sequence["np.ndarray | Unread"]) -> int:
    """Return an upper bound of all token ids: the largest of the rows or of their row groups."""
    return max(int(t.largest) if isinstance(t, Unread) else int(t.max(initial=0)) for t in tokens)


def _list_lengths(column: pa.ChunkedArray) -> np.ndarray:
    sizes: np.ndarray = pc.list_value_length(column).to_numpy()
    return sizes.astype(np.int32)


@contextlib.contextmanager
def _readable_parquet(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged parquet file into an `InputError` that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: damaged parquet ({error}); run its stage again") from error
