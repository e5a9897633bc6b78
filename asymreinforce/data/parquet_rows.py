"""Read rows of any parquet file in bounded memory.

A kilobyte of parquet can unpack to one long text a million times, or to a list of a million equal
numbers. So texts are read as indices into a dictionary, and rows become Python objects in small
batches.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_AT_ONCE = 256
VALUES_AT_ONCE = 1 << 20
"""Values of a column that are decoded at once; one row may hold more."""
LARGEST_ROW = 1 << 24
"""Values of a column in one row, at most; no completion has so many tokens."""
BYTES_AT_ONCE = 1 << 26
"""Bytes that the Python objects of a batch of rows take, at most; one row may take more."""
# Text shrinks to about a twentieth, so that no real data reaches the ratio. pyarrow would unpack
# the pages of such a column as a whole.
LARGEST_CHUNK = 1 << 30
LARGEST_RATIO = 500
"""A column of a row group is refused if it unpacks to more than `LARGEST_CHUNK` bytes and more than
`LARGEST_RATIO` times its compressed size."""
# How many values a row holds is known only after all of them are decoded.
LARGEST_CROWD = 1 << 26
MOST_A_BYTE = 64
"""A column of a row group is refused if it holds more than `LARGEST_CROWD` values and more than
`MOST_A_BYTE` values per compressed byte."""

NARROW: dict[pa.DataType, type] = {pa.float16(): np.float16, pa.float32(): np.float32}


class ParquetRow(NamedTuple):
    """A row and its number from 1, or the problem with the row (words that follow `n rows`)."""

    number: int
    values: dict[str, Any] | None
    problem: str = ""


def rows(path: Path) -> Iterator[ParquetRow]:
    """Yield every row of a parquet file in order; a row with too many values has a `problem`.

    Raises `pa.ArrowException`, `OSError` or `ValueError` if the file is damaged, repeats a column's
    name, or unpacks to hundreds of times its size.
    """
    number = 0
    with pq.ParquetFile(path) as file:
        require_unique_names(file.schema_arrow)
        texts = _text_columns(file)
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for group in range(file.num_row_groups):
            _require_size(file.metadata.row_group(group))
            size = _rows_at_once(file.metadata.row_group(group))
            for batch in file.iter_batches(size, row_groups=[group], use_threads=False):
                for values, problem in python_rows(batch):
                    number += 1
                    yield ParquetRow(number, values, problem)


def require_unique_names(schema: pa.Schema) -> None:
    """Raise `ValueError` if two columns have the same name."""
    if repeated := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise ValueError(f"the column {repeated[0]!r} appears twice")


def _text_columns(file: pq.ParquetFile) -> list[str]:
    """Name the leaf columns that hold texts or bytes."""
    leaves = [file.schema.column(index) for index in range(len(file.schema.names))]
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and _is_text(leaf)]


def _is_text(leaf: pq.ColumnSchema) -> bool:
    """Tell whether a leaf holds texts or bytes; decimals may be stored as bytes too."""
    return leaf.logical_type.type in ("STRING", "NONE", "JSON", "ENUM")


def _require_size(group: Any) -> None:
    for column in map(group.column, range(group.num_columns)):
        size = column.total_uncompressed_size
        if size > max(LARGEST_CHUNK, LARGEST_RATIO * column.total_compressed_size):
            raise ValueError(
                f"the column {column.path_in_schema!r} unpacks from "
                f"{column.total_compressed_size:,} bytes to {size >> 20:,} MiB"
            )
        values = column.num_values
        crowded = values > max(LARGEST_CROWD, MOST_A_BYTE * column.total_compressed_size)
        if crowded or values > LARGEST_ROW * group.num_rows:
            raise ValueError(
                f"the column {column.path_in_schema!r} unpacks from "
                f"{column.total_compressed_size:,} bytes to {values:,} values in "
                f"{group.num_rows:,} rows"
            )


def _rows_at_once(group: Any) -> int:
    """Return how many rows of a row group hold `VALUES_AT_ONCE` values of its longest column."""
    longest = max((group.column(i).num_values for i in range(group.num_columns)), default=0)
    fitting: int = VALUES_AT_ONCE * group.num_rows // max(1, longest)
    return max(1, min(ROWS_AT_ONCE, fitting))


def python_rows(batch: pa.RecordBatch) -> Iterator[tuple[dict[str, Any] | None, str]]:
    """Yield (row, "") for each row of a batch, or (None, why Python cannot hold the row).

    Only a few rows at a time become Python objects.
    """
    # In the worst case every row holds the longest text of the dictionary.
    size = max(1, BYTES_AT_ONCE // max(1, batch.nbytes))
    narrow = {f.name: NARROW[f.type] for f in batch.schema if f.type in NARROW}
    fits = max(map(_count_values, batch.columns), default=0) <= LARGEST_ROW
    for start in range(0, len(batch), size):
        part = batch.slice(start, size)
        try:
            values = part.to_pylist() if fits else []
        except (pa.ArrowException, ValueError, OverflowError):
            fits = False
        if not fits:
            rows = [_one_row(part.slice(i, 1)) for i in range(len(part))]
        else:
            rows = [(row, "") for row in values]
        for row, problem in rows:
            yield row and _with_own_digits(row, narrow), problem


def _count_values(column: pa.Array) -> int:
    """Return how many values a column holds, in lists, maps and structs too."""
    if pa.types.is_struct(column.type):
        return max([len(column), *map(_count_values, column.flatten())])
    if pa.types.is_map(column.type):
        first, end = column.offsets[0].as_py(), column.offsets[-1].as_py()
        return max(len(column), _count_values(column.items.slice(first, end - first)))
    if pa.types.is_nested(column.type):
        return max(len(column), _count_values(column.flatten()))
    return len(column)


def _one_row(row: pa.RecordBatch) -> tuple[dict[str, Any] | None, str]:
    """Return one row, or the problem with a value that is too large or out of Python's range."""
    values = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        if (count := _count_values(column)) > LARGEST_ROW:
            return None, f"have {count:,} values in the column {name!r}"
        try:
            values[name] = column[0].as_py()
        except (pa.ArrowException, ValueError, OverflowError) as error:
            reason = str(error).partition("\n")[0][:100]
            return None, f"have a value out of range in the column {name!r} ({reason})"
    return values, ""


def _with_own_digits(row: dict[str, Any], narrow: dict[str, type]) -> dict[str, Any]:
    """Keep floats of 16 and 32 bits in their precision."""
    # As a Python float, a 32-bit 0.1 would become 0.10000000149011612.
    for name, type_ in narrow.items():
        if row[name] is not None:
            row[name] = type_(row[name])
    return row
