"""Token ids of a shard of rollouts that are read when they are asked for, a few prompts at a time.

A shard's row groups end where a prompt's rows do, and its footer says how many tokens each row has:

    footer       prompt and completion lengths of all rows      what shares a step out needs
    row group    whole prompts, `GROUP_TOKENS` tokens or more   what a rank reads of its own rows

A file without those lengths (made by an earlier version) is read once through for them, a row group
at a time. A page's own checksum is compared when it is read.

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
"""A prompt with 8 samples of a thousand tokens each; smaller ones share a row group."""
KEPT_GROUPS = 4
"""Row groups of a shard that stay in memory: the samples of a prompt may be in several rows."""
LENGTHS = b"lengths"
Column = Literal["prompt_token_ids", "completion_token_ids", "behaviour_logps"]


class Lengths(NamedTuple):
    """Tokens of each row's prompt and completion."""

    prompt_B: np.ndarray
    completion_B: np.ndarray


def lengths_of(rows: pa.Table) -> Lengths:
    """Count the tokens of each row of a table of rollouts."""
    return Lengths(
        *(_list_lengths(rows.column(f"{part}_token_ids")) for part in ("prompt", "completion"))
    )


def row_groups(rows: pa.Table) -> Iterator[pa.Table]:
    """Cut rows where a prompt's end, each part with at least `GROUP_TOKENS` tokens but the last."""
    prompt_B = rows.column("prompt_id").to_numpy(zero_copy_only=False)
    tokens_B = np.cumsum(np.sum(lengths_of(rows), axis=0))
    start, before = 0, 0
    for end in np.flatnonzero(prompt_B[1:] != prompt_B[:-1]) + 1:
        if tokens_B[end - 1] - before >= GROUP_TOKENS:
            yield rows.slice(start, end - start)
            start, before = int(end), int(tokens_B[end - 1])
    yield rows.slice(start)


def pack_lengths(lengths: Lengths) -> bytes:
    """Return lengths as text for a parquet footer."""
    return base64.b64encode(zlib.compress(np.asarray(lengths, dtype="<i4").tobytes()))


class ShardTokens:
    """The token ids and log-probabilities of one shard, whose file stays open meanwhile.

    Raises `InputError` where the file is damaged.
    """

    def __init__(self, path: Path):
        self._path = path
        with _readable_parquet(path):
            self._file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
        groups = range(self._file.num_row_groups)
        rows = [self._file.metadata.row_group(group).num_rows for group in groups]
        self._starts = [0, *itertools.accumulate(rows)]
        self._read = functools.lru_cache(maxsize=3 * KEPT_GROUPS)(self._read_group)

    @functools.cached_property
    def lengths(self) -> Lengths:
        """The tokens of each row, by the footer where it says so."""
        stored = (self._file.metadata.metadata or {}).get(LENGTHS)
        if stored is None:
            return self._count_lengths()
        with _readable_parquet(self._path):
            numbers = np.frombuffer(zlib.decompress(base64.b64decode(stored)), dtype="<i4")
            return Lengths(*numbers.reshape(2, self._starts[-1]))

    def values(self, column: Column, row: int) -> np.ndarray:
        """Read a row's token ids or log-probabilities, with those of its row group."""
        group = bisect.bisect_right(self._starts, row) - 1
        values, offsets = self._read(column, group)
        place = row - self._starts[group]
        row_values: np.ndarray = values[offsets[place] : offsets[place + 1]]
        return row_values

    def largest(self, column: Column, row: int) -> int:
        """Return the largest token of a row's row group, by the footer where it says so."""
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
    """A row's token ids, which stand in for an array of them: their number is known, they are not.

    Two that are the same object are the same tokens; others are not compared.
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
        """A token that none of these is above, without reading them where the footer knows one."""
        return self._shard.largest(self._column, self._row)


def unread_tokens(
    paths: Sequence[Path], *, row_B: np.ndarray, group_B: np.ndarray, with_logps: bool
) -> tuple[list[Any], list[Any], list[Any] | None]:
    """Return what stands for prompts, completions and log-probabilities of rows of several shards.

    `row_B` counts rows through the shards, one after the other. The rows of a group have one
    prompt; they share what stands for it.
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
    """Return a token that none is above: the largest of all, or of the row groups they stand in."""
    return max(int(t.largest) if isinstance(t, Unread) else int(t.max(initial=0)) for t in tokens)


def _list_lengths(column: pa.ChunkedArray) -> np.ndarray:
    sizes: np.ndarray = pc.list_value_length(column).to_numpy()
    return sizes.astype(np.int32)


@contextlib.contextmanager
def _readable_parquet(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into an `InputError` that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: damaged parquet ({error}); run its stage again") from error
