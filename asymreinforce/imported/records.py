"""Read foreign files record by record, in bounded memory: JSON, parquet, CSV and Arrow.

The files of a directory are read in the order of their names; numbers in names compare as numbers.
A line that is not JSON is counted and skipped, so that one error can name all such lines.
"""

import contextlib
import csv
import functools
import hashlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from asymreinforce.config.source import Format, SourceConfig
from asymreinforce.data import arrow_rows, files, json_rows, parquet_rows, separated_rows
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.imported.problems import Problems

LINES = (".jsonl", ".jsonl.gz", ".ndjson")
ARRAYS = (".json",)
"""Read only if `source.path` names the file: a directory of rollouts may hold other JSON."""
PARQUET = (".parquet",)
CSV, ARROW = separated_rows.ENDINGS, arrow_rows.ENDINGS
"""Read from a directory only if it has no files of the kinds above: results may be CSV too."""
PREFIX = {"lm_eval": "samples_"}
"""A directory of lm-evaluation-harness holds files of results and of samples."""


class Record(NamedTuple):
    """A row of a file as read, with its file and its place for messages."""

    path: Path
    place: str
    values: dict[str, Any]
    are_texts: bool = False
    """Whether the file has only texts, also for numbers and lists, as CSV does."""


def files_of(source: SourceConfig) -> list[Path]:
    """Return the files of a source in order.

    Raises `InputError` if there are none, and `ConfigError` if a file has an unknown ending.
    """
    path = source.path
    if path is None:
        raise ConfigError("source.path is not set; it names the file or directory of rollouts")
    if not path.exists():
        raise InputError(f"{path}: no such file or directory; set source.path to your rollouts")
    if path.is_file():
        return [_require_known_ending(path, source.format)]
    if (saved := arrow_rows.saved_splits(path)) is not None:
        return _one_split(path, saved)
    prefix = PREFIX.get(source.format or "", "")
    endings = (*LINES, *PARQUET, *(ARRAYS if prefix else ()))
    there = [
        p
        for p in sorted(path.rglob("*"), key=_natural_order)
        if p.name.startswith(prefix) and p.is_file()
    ]
    for kinds in (endings, CSV, ARROW):
        if paths := [p for p in there if p.name.endswith(kinds)]:
            return [_require_known_ending(p, source.format) for p in paths]
    raise InputError(
        f"{path}: holds no {prefix}*{' or *'.join((*endings, *CSV, *ARROW))}; "
        "point source.path at the file or directory of your rollouts"
    )


def _one_split(path: Path, saved: dict[str, list[Path]]) -> list[Path]:
    """Return the files of a saved data set's split; raise `ConfigError` if it has several."""
    if len(saved) != 1:
        raise ConfigError(
            f"{path}: holds the splits {', '.join(saved)}; set source.path to one of them, such as "
            f"{path / next(iter(saved), 'train')}"
        )
    (found,) = saved.values()
    return found


def source_fingerprint(source: SourceConfig) -> str:
    """Return a fingerprint of the names and contents of a source's files (16 hex digits)."""
    # names enter, because a file's name (for lm_eval its directory's) may name the policy
    digest = hashlib.sha256()
    for path in files_of(source):
        stat = path.stat()
        parent = path.parent.name if source.format == "lm_eval" else ""
        digest.update(f"{parent}/{path.name}\n".encode())
        digest.update(_remembered_sha256(path.resolve(), stat.st_size, stat.st_mtime_ns).encode())
    return digest.hexdigest()[:16]


def count_rows(paths: list[Path]) -> int:
    """Count the rows of files, for a progress bar, without parsing JSON lines."""
    total = 0
    for path in paths:
        with _readable_errors(path):
            total += _count(path)
    return total


def _count(path: Path) -> int:
    if path.name.endswith(PARQUET):
        return int(pq.read_metadata(path).num_rows)
    if path.name.endswith(ARROW):
        return arrow_rows.count(path)
    if path.name.endswith(CSV):
        return sum(1 for _ in separated_rows.rows(path))
    return json_rows.count_rows(path)


def read_records(paths: list[Path], problems: Problems) -> Iterator[Record]:
    """Yield every record of the files; add rows that are not objects to `problems`."""
    for path in paths:
        with _readable_errors(path):
            for place, values, problem in _rows(path):
                if values is None:
                    problems.add(problem, place)
                else:
                    yield Record(path, place, values, path.name.endswith(CSV))


def _require_known_ending(path: Path, format_: Format | None) -> Path:
    lines = (*LINES, *ARRAYS)
    of_formats = {"jsonl": lines, "parquet": PARQUET, "csv": CSV, "arrow": ARROW}
    endings = of_formats.get(format_ or "", (*lines, *PARQUET, *CSV, *ARROW))
    if not path.name.endswith(endings):
        raise ConfigError(
            f"{path}: its ending is none of those that are read as "
            f"{'source.format=' + format_ if format_ else 'rollouts'}; "
            f"it should be one of {', '.join(endings)}"
        )
    return path


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any] | None, str]]:
    """Yield (place, values, problem) for each row of a file; values are None for a problem."""
    if path.name.endswith((*PARQUET, *ARROW)):
        reader = parquet_rows if path.name.endswith(PARQUET) else arrow_rows
        for number, values, problem in reader.rows(path):
            yield f"{path.name} row {number}", values, problem
    elif path.name.endswith(CSV):
        for line, texts in separated_rows.rows(path):
            yield f"{path.name} line {line}", dict(texts), ""
    else:
        yield from json_rows.read_rows(path)


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, csv.Error, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: not readable ({error}); it may be truncated") from error


@functools.lru_cache(maxsize=4096)
def _remembered_sha256(path: Path, size: int, modified: int) -> str:
    return files.sha256(path)


def _natural_order(path: Path) -> list[tuple[int, int | str]]:
    """Order `2.jsonl` before `10.jsonl`."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]
