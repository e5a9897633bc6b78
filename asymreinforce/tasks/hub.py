"""Files of a hub data set: `datasets` says which belong to a split, and the hub's cache holds them.

Their rows are read as those of local files are. `datasets` would turn JSON into Arrow's types,
which cut long numbers short and read texts as dates.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from asymreinforce.config.task import TaskSourceConfig
from asymreinforce.errors import ConfigError, InputError

LOCATING = {"name", "version", "data_dir", "data_files", "description", "features"}
"""Settings of a data set that say where its rows are, or of which types."""


def hub_files(source: TaskSourceConfig) -> list[Path]:
    """Return the files of a hub data set's split at its commit, fetched where they are not yet.

    Without a network they come from the hub's cache. Raises `InputError` if they cannot be had, the
    split is unknown, or the data set asks for a way of reading that is not this project's, and
    `ConfigError` if `datasets` is missing.
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
        if not builder.config.data_files:  # rows that `datasets` converted, and keeps
            raise InputError("its files are not in the hub's cache")
        wanted = _files_of_split(source, builder.config)
        return [Path(path) for path in datasets.DownloadManager().download(wanted)]
    except _RefusedError:
        raise
    except Exception as error:  # requests, httpx and the hub's own kinds, and datasets' own
        if (cached := _cached_files(source, revision)) is not None:
            return cached
        raise unreachable_error(source, error) from error


def resolved_revision(source: TaskSourceConfig) -> str:
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
        commit = HfApi().dataset_info(source.hub, revision=revision).sha
    except Exception as error:  # requests, httpx and the hub's own kinds, by version
        raise unreachable_error(source, error) from error
    return str(commit)


def unreachable_error(source: TaskSourceConfig, error: Exception) -> InputError:
    """Return an error that says why a data set is not at hand, and how to bring a copy."""
    reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
    return InputError(f"hub data set {source.hub} cannot be fetched ({reason}){how_to_get(source)}")


def how_to_get(source: TaskSourceConfig) -> str:
    """Say how a copy of a hub data set comes to this machine; empty if the source is none."""
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
    """The data set is at hand, and cannot be read as it is asked for."""


class _NoSuchSplitError(_RefusedError):
    """What is at hand of the data set has no such split."""


def _cached_files(source: TaskSourceConfig, revision: str) -> list[Path] | None:
    """Return the files of a split that the hub's cache holds at a commit; None if it has none."""
    import datasets
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            str(source.hub), repo_type="dataset", revision=revision, local_files_only=True
        )
        config = datasets.load_dataset_builder(folder, source.subset).config
        return [Path(path) for path in _files_of_split(source, config)]
    except Exception as error:
        if isinstance(error, _RefusedError) and not isinstance(error, _NoSuchSplitError):
            raise
        return None  # the reason why nothing can be fetched is the one that helps


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
    """Refuse a data set whose card tells readers of separators, fields or names of columns."""
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
            f"hub data set {source.hub} is to be read with {', '.join(options)}, which is not done "
            "here; read the hub's own conversion by task.sources.*.revision=refs/convert/parquet"
        )
