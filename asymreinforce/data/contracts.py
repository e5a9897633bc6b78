"""Write and read the parquet files between stages; `schemas.py` defines their contracts.

This module checks every table that it writes or reads against the table's contract.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asymreinforce.data import token_ids
from asymreinforce.data.schemas import (
    ARM_COLUMNS,
    CONTRACTS,
    CURVES,
    EVALUATIONS,
    METRICS,
    PROMPTS,
    ROLLOUTS,
    SUITES,
    SUMMARY,
    VERDICTS,
    Contract,
)
from asymreinforce.data.statuses import STATUSES, UNJUDGED, Status
from asymreinforce.errors import InputError

if TYPE_CHECKING:
    from asymreinforce.data.store import Store

__all__ = [
    "ARM_COLUMNS",
    "CONTRACTS",
    "CURVES",
    "EVALUATIONS",
    "METRICS",
    "PROMPTS",
    "ROLLOUTS",
    "STATUSES",
    "SUITES",
    "SUMMARY",
    "UNJUDGED",
    "VERDICTS",
    "Contract",
    "FinishReason",
    "Status",
    "check_table",
    "count_rows",
    "make_table",
    "prompt_tables",
    "publish_table",
    "read_label",
    "read_shards",
    "read_table",
    "write_table",
]

FinishReason = Literal["stop", "length"]

ROW_GROUP = 8192
"""Rows of a row group, at most, and so of a reader that holds one row group."""
FEW_ROWS = 20_000
"""Up to this many rows, threads for columns cost more than they save."""
HANDFUL = 64
"""Up to this many rows, compression, dictionaries and Arrow's hash tables of keys cost more than
they save."""


def make_table(contract: Contract, columns: Mapping[str, Any]) -> pa.Table:
    """Build a table of a contract; a nullable column that is not given is all null.

    Raises `InputError` if a value does not fit its column or a required value is null.
    """
    rows = max((len(values) for values in columns.values()), default=0)
    filled = {name: columns.get(name, [None] * rows) for name in contract.schema.names}
    try:
        result = pa.table(filled, schema=contract.schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError, UnicodeError) as error:
        raise InputError(f"a row does not fit the contract {contract.label}: {error}") from error
    return check_table(contract, result, where=contract.label)


def write_table(path: Path, contract: Contract, rows: pa.Table, *, identity: str) -> None:
    """Write rows as parquet, with the contract's label and the shard's identity in the footer.

    A row group of rollouts holds whole prompts (`token_ids.py`).
    """
    metadata = {"contract": contract.label, "identity": identity}
    is_small = len(rows) <= HANDFUL
    rows = rows.cast(contract.schema).replace_schema_metadata(metadata)
    # Without its empty optional columns, a file has the bytes that it had before they existed.
    if empty := [name for name in contract.optional if rows[name].null_count == len(rows)]:
        rows = rows.drop_columns(empty)
    with pq.ParquetWriter(
        path,
        rows.schema,
        compression="none" if is_small else "zstd",
        use_dictionary=not is_small,
        write_page_checksum=True,
    ) as writer:
        for part in token_ids.row_groups(rows) if contract is ROLLOUTS else [rows]:
            writer.write_table(part, row_group_size=ROW_GROUP)
        if contract is ROLLOUTS:
            lengths = token_ids.pack_lengths(token_ids.lengths_of(rows))
            writer.add_key_value_metadata({token_ids.LENGTHS: lengths})


def read_table(path: Path, contract: Contract, *, columns: list[str] | None = None) -> pa.Table:
    """Read one parquet file and check it against its contract.

    Raises `InputError`, naming the file, if the file is missing, truncated, of another contract or
    version, lacks a column, holds a null that the contract forbids, or repeats a key.
    """
    try:
        # A report reads thousands of small files: each is opened once, for label and rows, without
        # threads that read ahead.
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            label = _schema_label(file.schema_arrow)
            _require_label(path, contract, label)
            rows = file.read(columns=columns, use_threads=file.metadata.num_rows > FEW_ROWS)
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a footer not in UTF-8
        # A file of another contract lacks the columns: its label makes the clearer message.
        _require_label(path, contract, read_label(path))
        raise InputError(f"{path}: damaged parquet ({error}); run its stage again") from error
    return check_table(
        contract, rows.replace_schema_metadata(None), where=str(path), columns=columns
    )


def publish_table(
    store: "Store",
    name: str,
    contract: Contract,
    rows: pa.Table,
    *,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Publish rows as a shard of a stage's store, with `facts` in its receipt."""
    store.publish(
        name, lambda path: write_table(path, contract, rows, identity=store.hash), facts=facts
    )


def read_shards(
    store: "Store", names: Iterable[str], contract: Contract, *, columns: list[str] | None = None
) -> pa.Table:
    """Read one or more shards of a stage's store as one table."""
    return pa.concat_tables(
        [read_table(store.path(name), contract, columns=columns) for name in names]
    )


def prompt_tables(
    directory: Path,
    *,
    split: str = "*",
    columns: list[str] | None = None,
    wanted: Iterable[str] | None = None,
) -> Iterator[pa.Table]:
    """Yield an experiment's prompts, a table per file; with `wanted`, only those prompt ids."""
    ids = None if wanted is None else pa.array(list(wanted), pa.string())
    for path in sorted((directory / "prompts").glob(f"*/{split}.parquet")):
        rows = read_table(path, PROMPTS, columns=columns)
        yield rows if ids is None else rows.filter(pc.is_in(rows.column("prompt_id"), ids))


def count_rows(path: Path, contract: Contract) -> int:
    """Return the number of rows of a parquet file of a contract, by reading only its footer."""
    _require_label(path, contract, read_label(path))
    return int(pq.read_metadata(path).num_rows)


def read_label(path: Path) -> str | None:
    """Return the contract's label in a parquet file, such as `rollouts/1`; None if it has none.

    Raises `InputError` if the file is missing or no parquet.
    """
    try:
        return _schema_label(pq.read_schema(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that makes it") from None
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a footer not in UTF-8
        raise InputError(
            f"{path}: not readable as parquet ({error}); it may be truncated, make it again"
        ) from error


def _schema_label(schema: pa.Schema) -> str | None:
    label = (schema.metadata or {}).get(b"contract")
    return label.decode(errors="replace") if label else None


def _require_label(path: Path, contract: Contract, label: str | None) -> None:
    if label != contract.label:
        raise InputError(
            f"{path}: holds {label or 'no contract of this software'}, not {contract.label}; "
            "point at a file of that contract, or make it again with this version"
        )


def check_table(
    contract: Contract, rows: pa.Table, *, where: str, columns: list[str] | None = None
) -> pa.Table:
    """Return the rows if they fulfil the contract; `where` names their place in an `InputError`."""
    names = contract.schema.names if columns is None else columns
    expected = _expected_schema(contract, tuple(names))
    if absent := (contract.optional & {*names}) - {*rows.column_names}:
        rows = _with_nulls(contract, rows, absent)
    if not rows.schema.equals(expected):
        _require_columns(contract, rows, expected, where=where)
    for name in _required_names(contract, tuple(names)):
        if nulls := rows.column(name).null_count:
            raise InputError(f"{where}: {nulls} of {len(rows)} rows have no {name}")
    if set(contract.key) <= set(names):
        _check_unique(rows, contract, where=where)
    return rows


def _with_nulls(contract: Contract, rows: pa.Table, absent: Iterable[str]) -> pa.Table:
    """Add optional columns that a file lacks, in the contract's order."""
    for name in absent:
        rows = rows.append_column(name, pa.nulls(len(rows), contract.schema.field(name).type))
    return rows.select([name for name in contract.schema.names if name in rows.column_names])


@functools.cache
def _expected_schema(contract: Contract, names: tuple[str, ...]) -> pa.Schema:
    return pa.schema([contract.schema.field(name) for name in names])


@functools.cache
def _required_names(contract: Contract, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if not contract.schema.field(name).nullable)


def _require_columns(
    contract: Contract, rows: pa.Table, expected: pa.Schema, *, where: str
) -> None:
    absent = [name for name in expected.names if name not in rows.schema.names]
    if absent:
        raise InputError(f"{where}: lacks the column {', '.join(absent)} of {contract.label}")
    for field in expected:
        actual = rows.schema.field(field.name).type
        if actual != field.type:
            raise InputError(f"{where}: column {field.name} is {actual}, not {field.type}")


def _check_unique(rows: pa.Table, contract: Contract, *, where: str) -> None:
    # A set of Python tuples is faster for few rows than Arrow's group_by.
    if len(rows) <= HANDFUL:
        keys_of_rows = zip(*(rows.column(name).to_pylist() for name in contract.key), strict=True)
        if len(set(keys_of_rows)) == len(rows):
            return
    groups = rows.group_by(list(contract.key), use_threads=len(rows) > FEW_ROWS)
    keys = groups.aggregate([([], "count_all")])
    if len(keys) == len(rows):
        return
    first = keys.filter(pc.greater(keys.column("count_all"), 1)).slice(0, 1).to_pylist()[0]
    key = ", ".join(f"{name}={first[name]}" for name in contract.key)
    raise InputError(
        f"{where}: {len(rows) - len(keys)} rows repeat a key of {contract.label}, such as {key}; "
        "each key must be unique"
    )
