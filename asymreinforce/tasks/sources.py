"""Rows of a data set, from the hub or from a local copy, and the fingerprint that pins them.

Local files are read by suffix (parquet, JSON or JSONL, CSV or TSV), always through `datasets`. A
hub data set is read at one commit; with `HF_HUB_OFFLINE=1` it comes from the hub's cache or not
at all, and the error says how to get a copy.
"""

import csv
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymreinforce.config.task import SourceConfig
from asymreinforce.data import files
from asymreinforce.errors import ConfigError, InputError

if TYPE_CHECKING:
    from datasets import Dataset, Features

BUILDERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".parquet": ("parquet", {}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".ndjson": ("json", {}),
    ".csv": ("csv", {"sep": ",", "keep_default_na": False}),
    ".tsv": ("csv", {"sep": "\t", "keep_default_na": False}),
}
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


def rows(source: SourceConfig) -> Iterator[dict[str, Any]]:
    """Yield a source's rows as plain dicts, those that `where` leaves out included.

    Raises `InputError` where it cannot be read, and `ConfigError` where `datasets` is missing.
    """
    with tempfile.TemporaryDirectory(prefix="asymrl-") as cache:
        dataset = _open(source, Path(cache))
        for batch in dataset.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
            yield from batch.to_pylist()


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
    readable = [p for p in sorted(path.rglob("*")) if p.suffix in BUILDERS and p.is_file()]
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


def _open(source: SourceConfig, cache: Path) -> "Dataset":
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"task data needs the library 'datasets' ({error}); install asymreinforce[data]"
        ) from error
    datasets.disable_progress_bars()
    if source.path is not None:
        return _open_files(local_files(source), cache)
    try:
        dataset: Dataset = datasets.load_dataset(
            source.hub, source.subset, revision=resolved_revision(source), split=source.split
        )
    except InputError:
        raise
    except Exception as error:  # as above, and datasets' own
        raise _unreachable(source, error) from error
    return dataset


def _open_files(paths: list[Path], cache: Path) -> "Dataset":
    import datasets

    suffixes = {path.suffix for path in paths}
    if len(suffixes) > 1 or not suffixes <= set(BUILDERS):
        raise InputError(
            f"{paths[0]}: data files must be of one kind, one of {', '.join(BUILDERS)}; "
            f"found {', '.join(sorted(suffixes))}"
        )
    builder, options = BUILDERS[suffixes.pop()]
    try:
        if builder == "csv":
            options = options | {"features": _all_text(paths[0], options["sep"])}
        dataset: Dataset = datasets.load_dataset(
            builder, data_files=list(map(str, paths)), split="train", cache_dir=cache, **options
        )
    except Exception as error:  # arrow, pandas and datasets each have their own
        reason = str(error.__cause__ or error).strip().split("\n")[0][:300]
        raise InputError(
            f"{paths[0]}: not readable as {builder} ({reason}); every row must have the same "
            "columns with values of one type"
        ) from error
    return dataset


def _all_text(path: Path, separator: str) -> "Features":
    """Declare every column a text: pandas would turn the answer 007 into 7."""
    from datasets import Features, Value

    with path.open(newline="", encoding="utf-8-sig") as stream:
        names = next(csv.reader(stream, delimiter=separator), [])
    return Features({name: Value("string") for name in names})


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
