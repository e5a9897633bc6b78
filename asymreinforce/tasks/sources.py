"""Rows of a data set, from the hub or from a local copy, and the fingerprint that pins them.

Local files are read by suffix (parquet, JSON or JSONL, CSV or TSV), with their values as they stand
there. A hub data set is read by `datasets` at one commit; with `HF_HUB_OFFLINE=1` it comes from the
hub's cache or not at all, and the error says how to get a copy.
"""

import csv
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from asymreinforce.config.task import SourceConfig
from asymreinforce.data import files, json_rows, parquet_rows
from asymreinforce.errors import ConfigError, InputError

Row = dict[str, Any]
LONGEST_FIELD = 1 << 27
"""Characters of a value of a CSV file."""
ROWS_AT_ONCE = 4096
SHARD = re.compile(r"-\d+-of-\d+")


def is_present(source: SourceConfig) -> bool:
    """Tell whether a source names anything to read."""
    return source.hub is not None or source.path is not None


def fingerprint(source: SourceConfig) -> dict[str, Any]:
    """Return what pins a source's rows, beside its settings: contents of files, or a commit.

    Raises `InputError` where a file is not there, or the hub's commit cannot be found out.
    """
    if source.path is not None:
        return {"files": [files.sha256(path) for path in local_files(source)]}
    return {"revision": resolved_revision(source)}


def rows(source: SourceConfig) -> Iterator[Row]:
    """Yield a source's rows as plain dicts, those that `where` leaves out included.

    Raises `InputError` where it cannot be read, and `ConfigError` where `datasets` is missing.
    """
    return _hub_rows(source) if source.path is None else _file_rows(local_files(source))


def local_files(source: SourceConfig) -> list[Path]:
    """Return the files of a local copy: the file itself, or those of a directory's split.

    In a directory the files are those whose names hold the split's name as a word, as in
    `main/train-00000-of-00001.parquet` or `gsm8k_train.jsonl`.
    """
    path = source.path
    assert path is not None
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or directory{_how_to_get(source)}")
    readable = [p for p in sorted(path.rglob("*")) if p.suffix in READERS and p.is_file()]
    wanted = {part for part in source.split.split("+") if part}
    found = [p for p in readable if wanted & set(_words(p.relative_to(path)))]
    if source.subset and any(source.subset in p.relative_to(path).parts for p in found):
        found = [p for p in found if source.subset in p.relative_to(path).parts]
    if not found:
        there = ", ".join(str(p.relative_to(path)) for p in readable[:8]) or "no data file at all"
        raise InputError(
            f"{path}: no file of the split {source.split} (there are: {there}); name the file, as "
            "in task.sources.train.path=FILE task.sources.held_out.path=FILE"
        )
    if len(names := sorted({SHARD.sub("", p.name) for p in found})) > 1:
        raise InputError(
            f"{path}: the split {source.split} may be any of {', '.join(names)}; name the file, as "
            "in task.sources.train.path=FILE"
        )
    return found


def resolved_revision(source: SourceConfig) -> str:
    """Return the commit that a revision stands for: as given, from the hub's cache, or asked for.

    What the cache knows is not asked for again, so that a branch that moves does not move a run.
    """
    if source.revision and re.fullmatch(r"[0-9a-f]{40}", source.revision):
        return source.revision
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE

    assert source.hub is not None
    revision = source.revision or "main"
    folder = f"datasets--{source.hub.replace('/', '--')}"
    cached = Path(HF_HUB_CACHE) / folder / "refs" / revision
    if cached.is_file():
        return cached.read_text().strip()
    try:
        found = HfApi().dataset_info(source.hub, revision=revision).sha
    except Exception as error:  # requests, httpx and the hub's own kinds, by version
        raise _unreachable(source, error) from error
    return str(found)


def _hub_rows(source: SourceConfig) -> Iterator[Row]:
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"hub data sets need the library 'datasets' ({error}); install asymreinforce[data]"
        ) from error
    datasets.disable_progress_bars()
    try:
        dataset = datasets.load_dataset(
            source.hub, source.subset, revision=resolved_revision(source), split=source.split
        )
    except InputError:
        raise
    except Exception as error:  # requests, httpx and the hub's own kinds, and datasets' own
        raise _unreachable(source, error) from error
    for batch in dataset.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _file_rows(paths: list[Path]) -> Iterator[Row]:
    suffixes = {path.suffix for path in paths}
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
        except (pa.ArrowException, csv.Error, OSError, ValueError) as error:
            raise InputError(f"{path}: not readable as {kind} ({error})") from error


def _parquet(path: Path) -> Iterator[Row]:
    for number, values, problem in parquet_rows.rows(path):
        yield _present(values, f"row {number}", problem)


def _json(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSON file, each with the names of all: one that is absent is null."""
    names: dict[str, None] = {}
    for place, values, problem in json_rows.rows(path):
        names |= dict.fromkeys(_present(values, place, problem))
    for _, values, _ in json_rows.rows(path):
        yield {name: (values or {}).get(name) for name in names}


def _separated(path: Path, delimiter: str) -> Iterator[Row]:
    """Yield the rows of a CSV or TSV; every value is a text, so that 007 stays 007."""
    csv.field_size_limit(LONGEST_FIELD)
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        names = next(reader, [])
        if len(set(names)) < len(names):
            raise ValueError(f"the first line names a column twice: {', '.join(names)}")
        for fields in reader:
            if fields and len(fields) != len(names):
                raise ValueError(
                    f"line {reader.line_num} has {len(fields)} values for {len(names)} columns"
                )
            if fields:
                yield dict(zip(names, fields, strict=True))


def _present(values: Row | None, place: str, problem: str) -> Row:
    if values is None:
        raise ValueError(f"{place}: rows {problem}")
    return values


READERS: dict[str, tuple[str, Callable[[Path], Iterator[Row]]]] = {
    ".parquet": ("parquet", _parquet),
    ".json": ("json", _json),
    ".jsonl": ("json", _json),
    ".ndjson": ("json", _json),
    ".csv": ("csv", functools.partial(_separated, delimiter=",")),
    ".tsv": ("csv", functools.partial(_separated, delimiter="\t")),
}


def _words(path: Path) -> list[str]:
    return re.split(r"[^A-Za-z0-9]+", str(path.with_suffix("")))


def _unreachable(source: SourceConfig, error: Exception) -> InputError:
    reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
    return InputError(
        f"hub data set {source.hub} cannot be fetched ({reason}){_how_to_get(source)}"
    )


def _how_to_get(source: SourceConfig) -> str:
    if source.hub is None:
        return ""
    revision = f" --revision {source.revision}" if source.revision else ""
    directory = source.hub.rpartition("/")[2]
    return (
        "; where there is a network, run\n"
        f"    hf download {source.hub} --repo-type dataset{revision} --local-dir {directory}\n"
        f"  bring the directory here, and set task.path={directory}"
    )
