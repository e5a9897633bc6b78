"""Find and fetch the files of a hub data set's split; the library `datasets` names the files.

This project reads the rows itself, like those of local files, because `datasets` would convert JSON
to Arrow's types, which shorten long numbers and read texts as dates.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from asymreinforce.config.task import TaskSourceConfig
from asymreinforce.errors import ConfigError, InputError

LOCATING = {"name", "version", "data_dir", "data_files", "description", "features"}
"""Settings of a data set that only name the places or the types of its rows."""


def hub_files(source: TaskSourceConfig) -> list[Path]:
    """Return the files of a hub data set's split at its commit; fetch those that are missing.

    Without a network the files come from the hub's cache. Raises `InputError` if the files cannot
    be fetched, the split is unknown, or the data set needs options of reading that this project
    does not have, and `ConfigError` if `datasets` is missing.
    """
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"hub data sets need the library 'datasets' ({error}); install asymreinforce[data]"
        ) from error
    datasets.disable_progress_bars()
    revision = resolved_revision(source)
    try:
        builder = datasets.load_dataset_builder(source.hub, source.subset, revision=revision)
        if not builder.config.data_files:  # `datasets` has only rows that it converted earlier
            raise InputError("its files are not in the hub's cache")
        wanted = _files_of_split(source, builder.config)
        return [Path(path) for path in datasets.DownloadManager().download(wanted)]
    except _RefusedError:
        raise
    # requests, httpx, the hub and `datasets` have errors without a common base
    except Exception as error:
        if (cached := _cached_files(source, revision)) is not None:
            return cached
        raise unreachable_error(source, error) from error


def resolved_revision(source: TaskSourceConfig) -> str:
    """Return the commit of a source's revision, from the setting, the hub's cache, or the hub."""
    # a commit needs no look-up
    if source.revision and re.fullmatch(r"[0-9a-f]{40}", source.revision):
        return source.revision
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE

    assert source.hub is not None
    revision = source.revision or "main"
    folder = f"datasets--{source.hub.replace('/', '--')}"
    cached = Path(HF_HUB_CACHE) / folder / "refs" / revision
    if cached.is_file():  # before the hub is asked, so that a branch that moves does not move a run
        return cached.read_text().strip()
    try:
        commit = HfApi().dataset_info(source.hub, revision=revision).sha
    except Exception as error:  # requests, httpx or the hub's own errors, depending on the version
        raise unreachable_error(source, error) from error
    return str(commit)


def unreachable_error(source: TaskSourceConfig, error: Exception) -> InputError:
    """Return an error that says why a data set cannot be fetched, and how to get a copy."""
    reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
    return InputError(f"hub data set {source.hub} cannot be fetched ({reason}){how_to_get(source)}")


def how_to_get(source: TaskSourceConfig) -> str:
    """Return how to get a copy of a hub data set; empty if the source is not on the hub."""
    if source.hub is None:
        return ""
    revision = f" --revision {source.revision}" if source.revision else ""
    directory = source.hub.rpartition("/")[2]
    return (
        "; where there is a network, run\n"
        f"    hf download {source.hub} --repo-type dataset{revision} --local-dir {directory}\n"
        f"  bring the directory here, and set task.path={directory}"
    )


class _RefusedError(InputError):
    """The data set is available, and cannot be read under the given settings."""


class _NoSuchSplitError(_RefusedError):
    """The available files of the data set have no such split."""


def _cached_files(source: TaskSourceConfig, revision: str) -> list[Path] | None:
    """Return the files of a split from the hub's cache at a commit; None if they are not there."""
    import datasets
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            str(source.hub), repo_type="dataset", revision=revision, local_files_only=True
        )
        config = datasets.load_dataset_builder(folder, source.subset).config
        return [Path(path) for path in _files_of_split(source, config)]
    except Exception as error:
        # the cache may lack the files of a split that the hub has
        if isinstance(error, _RefusedError) and not isinstance(error, _NoSuchSplitError):
            raise
        return None  # the caller's error, why nothing can be fetched, is more useful than this one


def _files_of_split(source: TaskSourceConfig, config: Any) -> list[str]:
    names = [name for name in source.split.split("+") if name]
    if absent := [name for name in names if name not in config.data_files]:
        raise _NoSuchSplitError(
            f"hub data set {source.hub} has no split {absent[0]} (there are: "
            f"{', '.join(map(str, config.data_files))}); set task.sources.*.split, and for a part "
            "of one task.train=N"
        )
    _require_plain(source, config)
    return [str(path) for name in names for path in config.data_files[name]]


def _require_plain(source: TaskSourceConfig, config: Any) -> None:
    """Refuse a data set whose card sets options of reading: separators, fields, column names."""
    plain = type(config)()
    options = [
        field.name
        for field in dataclasses.fields(config)
        if field.name not in LOCATING
        and getattr(config, field.name) != getattr(plain, field.name)
        and (field.name, getattr(config, field.name)) != ("sep", "\t")
    ]
    if options:
        raise _RefusedError(
            f"hub data set {source.hub} needs the reading options {', '.join(options)}, which are "
            "not supported; read the hub's own conversion by "
            "task.sources.*.revision=refs/convert/parquet"
        )
