"""Rows of any parquet file in bounded memory, whatever they unpack to.

A kilobyte of parquet can hold one long text a million times, or a list of a million equal numbers.
So texts are read as numbers into a dictionary, and rows become Python objects few at a time.
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
"""Values of a column in one row: no completion has so many tokens."""
BYTES_AT_ONCE = 1 << 26
"""Bytes that Python objects of some rows may take, at most, but for a single row."""
LARGEST_CHUNK = 1 << 30
LARGEST_RATIO = 500
"""A column of a row group that unpacks to more bytes, and to so many times its size, is no data:
text shrinks to a twentieth. Its pages would be unpacked as a whole."""
LARGEST_CROWD = 1 << 26
MOST_A_BYTE = 64
"""A column of a row group that holds more values, and so many in a byte of the file, is no data
either: which row holds how many is not known before all of them are decoded."""

NARROW: dict[pa.DataType, type] = {pa.float16(): np.float16, pa.float32(): np.float32}


class ParquetRow(NamedTuple):
    """A row by its number from 1, or why Python cannot hold it (words after `n rows`)."""

    number: int
    values: dict[str, Any] | None
    problem: str = ""


def rows(path: Path) -> Iterator[ParquetRow]:
    """Yield every row of a file in order.

    Raises `pa.ArrowException`, `OSError` or `ValueError` if the file is damaged, repeats the name
    of a column, or unpacks to hundreds of times its size. A row of too many values has a problem.
    """
    number = 0
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the column {repeated[0]!r} stands twice")
        texts = _text_columns(file)
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for group in range(file.num_row_groups):
            _require_size(file.metadata.row_group(group))
            size = _rows_at_once(file.metadata.row_group(group))
            for batch in file.iter_batches(size, row_groups=[group], use_threads=False):
                for values, problem in python_rows(batch):
                    number += 1
                    yield ParquetRow(number, values, problem)


def _text_columns(file: pq.ParquetFile) -> list[str]:
    """Name the leaf columns that hold texts or bytes."""
    leaves = [file.schema.column(index) for index in range(len(file.schema.names))]
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and _is_text(leaf)]


def _is_text(leaf: pq.ColumnSchema) -> bool:
    """Tell whether a leaf is a text or bytes, and no decimal that is written as bytes."""
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
    """Return how many rows of a group hold `VALUES_AT_ONCE` values of its longest column."""
    longest = max((group.column(i).num_values for i in range(group.num_columns)), default=0)
    fitting: int = VALUES_AT_ONCE * group.num_rows // max(1, longest)
    return max(1, min(ROWS_AT_ONCE, fitting))


def python_rows(batch: pa.RecordBatch) -> Iterator[tuple[dict[str, Any] | None, str]]:
    """Yield the rows of a batch, few of them at a time, each with why Python cannot hold it."""
    # A text of the dictionary may stand in every row.
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
    """Return how many numbers and texts a column of any nesting holds."""
    if pa.types.is_struct(column.type):
        return max([len(column), *map(_count_values, column.flatten())])
    if pa.types.is_map(column.type):
        first, end = column.offsets[0].as_py(), column.offsets[-1].as_py()
        return max(len(column), _count_values(column.items.slice(first, end - first)))
    if pa.types.is_nested(column.type):
        return max(len(column), _count_values(column.flatten()))
    return len(column)


def _one_row(row: pa.RecordBatch) -> tuple[dict[str, Any] | None, str]:
    """Return a row of a batch in which some value is out of Python's range, or is too large."""
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
    """Keep floats of 16 and 32 bits in their own precision: 0.1 is no 0.10000000149011612."""
    for name, type_ in narrow.items():
        if row[name] is not None:
            row[name] = type_(row[name])
    return row
