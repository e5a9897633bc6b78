"""Read rows of Arrow files, and list the files that `datasets.save_to_disk` wrote.

The library `datasets` is not needed: a saved data set is a directory of Arrow streams and a list of
their names.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from asymreinforce.data.parquet_rows import ParquetRow, python_rows, require_unique_names
from asymreinforce.errors import InputError

ENDINGS = (".arrow",)
STATE, SPLITS = "state.json", "dataset_dict.json"
"""Files that mark a saved data set, and a saved dictionary of data sets (one for each split)."""
ALONE = ""
"""The split of a data set that was saved without a split's name."""


def rows(path: Path) -> Iterator[ParquetRow]:
    """Yield every row of an Arrow file or stream in order.

    Raises `pa.ArrowException`, `OSError` or `ValueError` if the file is damaged or repeats a
    column's name.
    """
    number = 0
    for batch in _batches(path):
        # Arrow trusts the offsets in a file; a damaged file could make it read beyond its buffers.
        batch.validate(full=True)
        for values, problem in python_rows(batch):
            number += 1
            yield ParquetRow(number, values, problem)


def count(path: Path) -> int:
    """Return the number of rows of a file."""
    return sum(batch.num_rows for batch in _batches(path))


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(path)) as source:
        try:
            reader = pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            # `datasets` writes streams; other programs may write Arrow's file format.
            source.seek(0)
            file = pa.ipc.open_file(source)
            require_unique_names(file.schema)
            yield from map(file.get_batch, range(file.num_record_batches))
            return
        require_unique_names(reader.schema)
        yield from reader


def saved_splits(directory: Path) -> dict[str, list[Path]] | None:
    """Return the files of each split, in order; None if the directory is no saved data set.

    A data set that was saved without splits has the split `ALONE`. Raises `InputError` if files are
    missing.
    """
    if (directory / STATE).is_file():
        return {ALONE: _files_of(directory)}
    if not (directory / SPLITS).is_file():
        return None
    names = _read(directory / SPLITS).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{directory / SPLITS}: names no splits; save the data set again")
    return {name: _files_of(directory / Path(name).name) for name in names}


def _files_of(directory: Path) -> list[Path]:
    state = _read(directory / STATE)
    entries = state.get("_data_files")
    names = [e.get("filename") if isinstance(e, dict) else None for e in entries or ()]
    # Only bare names: the list comes from outside, and a path could lead out of the directory.
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise InputError(f"{directory / STATE}: names no data files; save the data set again")
    if state.get("_indices_data_files"):
        raise InputError(
            f"{directory}: an old version of 'datasets' saved all rows and a list of the chosen "
            "ones; save the data set again with a newer version"
        )
    paths = [directory / str(name) for name in names]
    if absent := [path.name for path in paths if not path.is_file()]:
        raise InputError(
            f"{directory}: {len(absent)} of its {len(paths)} files are not there ({absent[0]}); "
            "copy the whole directory"
        )
    return paths


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy the whole directory") from None
    return value if isinstance(value, dict) else {}
