"""Read the rows of a data set from the hub or a local copy, and fingerprint them.

Files are read by suffix (parquet, JSON or JSONL, CSV or TSV, Arrow) without conversion of values; a
directory may be one that `save_to_disk` wrote. The files of a hub data set are fetched at one
commit. With `HF_HUB_OFFLINE=1` they must be in the hub's cache; the error says how to get a copy.
"""

import csv
import functools
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from asymreinforce.config.task import TaskSourceConfig
from asymreinforce.data import arrow_rows, files, json_rows, parquet_rows, separated_rows
from asymreinforce.errors import InputError
from asymreinforce.tasks import hub

Row = dict[str, Any]
HUB_READING = 2
"""Version of how the files of a hub data set become rows."""
SHARD = re.compile(r"-(\d+)-of-(\d+)")


def is_present(source: TaskSourceConfig) -> bool:
    """Tell whether a source has a hub name or a path."""
    return source.hub is not None or source.path is not None


def source_fingerprint(source: TaskSourceConfig) -> dict[str, Any]:
    """Return the checksums of a source's local files, or the commit of its hub data set.

    Raises `InputError` if a file is missing or the hub's commit cannot be determined.
    """
    if source.path is not None:
        # contents and no names, so that a data set may be moved
        return {"files": [files.sha256(path) for path in local_files(source)]}
    return {"revision": hub.resolved_revision(source), "reading": HUB_READING}


def source_rows(source: TaskSourceConfig) -> Iterator[Row]:
    """Yield all rows of a source as dicts, before the filter `where`.

    Raises `InputError` if the source cannot be read, and `ConfigError` if `datasets` is missing.
    """
    return _file_rows(
        _require_all_files(hub.hub_files(source)) if source.path is None else local_files(source)
    )


def local_files(source: TaskSourceConfig) -> list[Path]:
    """Return the files of a local copy: the file itself, or the files of a directory's split.

    The files of a split have the split's name as a word in their paths, as in
    `main/train-00000-of-00001.parquet` or `gsm8k_train.jsonl`.
    """
    path = source.path
    assert path is not None
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or directory{hub.how_to_get(source)}")
    if (saved := arrow_rows.saved_splits(path)) is not None:
        return _saved(saved, source)
    readable = [p for p in sorted(path.rglob("*")) if _data_suffix(p) in READERS and p.is_file()]
    wanted = {part for part in source.split.split("+") if part}
    paths = [p for p in readable if wanted & set(_path_words(p.relative_to(path)))]
    if source.subset and any(source.subset in p.relative_to(path).parts for p in paths):
        paths = [p for p in paths if source.subset in p.relative_to(path).parts]
    if not paths:
        others = ", ".join(str(p.relative_to(path)) for p in readable[:8]) or "no data file at all"
        raise InputError(
            f"{path}: no file of the split {source.split} (there are: {others}); name the file, as "
            "in task.sources.train.path=FILE task.sources.held_out.path=FILE"
        )
    # a split is one file or one numbered series
    if len(names := sorted({SHARD.sub("", p.name) for p in paths})) > 1:
        raise InputError(
            f"{path}: the split {source.split} may be any of {', '.join(names)}; name the file, as "
            "in task.sources.train.path=FILE"
        )
    return _require_all_files(paths)


def _saved(saved: dict[str, list[Path]], source: TaskSourceConfig) -> list[Path]:
    """Return the files of a saved data set's split; raise `InputError` if there is none."""
    if arrow_rows.ALONE in saved:
        return saved[arrow_rows.ALONE]
    wanted = [name for name in source.split.split("+") if name]
    if not wanted or set(wanted) - saved.keys():
        raise InputError(
            f"{source.path}: a saved data set without the split {source.split} (there are: "
            f"{', '.join(saved)}); set task.sources.*.split"
        )
    return [path for name in wanted for path in saved[name]]


def _require_all_files(paths: list[Path]) -> list[Path]:
    """Return a split's files; raise `InputError` if a file of a numbered series is missing."""
    numbers: dict[tuple[Path, int], set[str]] = {}
    for path in paths:
        if match := SHARD.search(path.name):
            series = path.with_name(SHARD.sub("", path.name)), int(match[2])
            numbers.setdefault(series, set()).add(match[1])
    for (path, total), shards in numbers.items():
        if len(shards) < total:
            raise InputError(
                f"{path.parent}: holds {len(shards)} of the {total} files of {path.name} "
                f"(numbers {', '.join(sorted(shards)[:8])}); bring the others, or name one file by "
                "task.sources.train.path=FILE"
            )
    return paths


def _file_rows(paths: list[Path]) -> Iterator[Row]:
    suffixes = {_data_suffix(path) for path in paths}
    kinds = {READERS[suffix][0] for suffix in suffixes & READERS.keys()}
    if len(kinds) != 1 or not suffixes <= READERS.keys():
        raise InputError(
            f"{paths[0]}: data files must be of one kind, one of {', '.join(READERS)}; "
            f"found {', '.join(sorted(suffixes))}"
        )
    kind, read = READERS[suffixes.pop()]
    for path in paths:
        try:
            yield from read(path)
        except (pa.ArrowException, csv.Error, OSError, EOFError, zlib.error, ValueError) as error:
            raise InputError(f"{path}: not readable as {kind} ({error})") from error


def _numbered_rows(module: Any, path: Path) -> Iterator[Row]:
    for number, values, problem in module.rows(path):
        yield _require_values(values, f"row {number}", problem)


def _json_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSON file, each with the names of all rows; absent values are None."""
    # two passes, because a later row may have further names
    names: dict[str, None] = {}
    for place, values, problem in json_rows.read_rows(path):
        names |= dict.fromkeys(_require_values(values, place, problem))
    for _, values, _ in json_rows.read_rows(path):
        yield {name: (values or {}).get(name) for name in names}


def _separated_rows(path: Path) -> Iterator[Row]:
    # values stay texts, so that 007 stays 007
    for _, values in separated_rows.rows(path):
        yield dict(values)


def _require_values(values: Row | None, place: str, problem: str) -> Row:
    if values is None:
        raise ValueError(f"{place}: rows {problem}")
    return values


READERS: dict[str, tuple[str, Callable[[Path], Iterator[Row]]]] = {
    ".parquet": ("parquet", functools.partial(_numbered_rows, parquet_rows)),
    **{
        f"{suffix}{packed}": ("json", _json_rows)
        for suffix in (".json", ".jsonl", ".ndjson")
        for packed in ("", ".gz")
    },
    **dict.fromkeys(separated_rows.ENDINGS, ("csv", _separated_rows)),
    **dict.fromkeys(arrow_rows.ENDINGS, ("arrow", functools.partial(_numbered_rows, arrow_rows))),
}


def _data_suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


def _path_words(path: Path) -> list[str]:
    return re.split(r"[^A-Za-z0-9]+", str(path.with_suffix("")))
