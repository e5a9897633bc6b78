"""Compose configurations from overrides as every command does, without running anything.

The arms of a sweep differ in a few values. A configuration is composed once and then only these
values are set, since Hydra takes a tenth of a second for each composition.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import ConfigError
from asymrl.bridge import checked_overrides, conf_directory, describe_error, run_hydra
from asymrl.jobs import COLLECTED, collect_job, parsed

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override


def compose_arms(overrides: Sequence[str]) -> list[ExperimentConfig]:
    """Compose every arm of the overrides, in Hydra's order; `auto` is not yet resolved.

    Raises `ConfigError` if Hydra cannot compose them or a value is out of its range.
    """
    if any(word.startswith("-") or "hydra" in word for word in overrides):
        # Only Hydra itself understands its options and settings: it runs a recording job per arm.
        COLLECTED.clear()
        run_hydra(collect_job, ["--multirun", "hydra/launcher=basic", *overrides])
        return list(COLLECTED)
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = checked_overrides(overrides)
    with _hydra() as loader:
        parser = OverridesParser.create(config_loader=loader)
        words = parser.parse_overrides(given)
        [jobs] = BasicSweeper.split_arguments(words, max_batch_size=None)
        return list(_composed([parser.parse_overrides(job) for job in jobs], loader))


@contextmanager
def _hydra() -> "Iterator[ConfigLoader]":
    """Open Hydra on the shipped configuration; its errors become `ConfigError`."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(conf_directory()), version_base="1.3"):
            yield GlobalHydra.instance().config_loader()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(describe_error(error)) from error


def _composed(
    jobs: "Sequence[list[Override]]", loader: "ConfigLoader"
) -> Iterator[ExperimentConfig]:
    """Compose each distinct choice of groups once, and set the other values in the result."""
    from hydra import compose as compose_by_hydra
    from omegaconf import OmegaConf

    composed: dict[tuple[str | None, ...], Any] = {}
    for job in jobs:
        values = [word for word in job if _is_plain_value(word, job, loader)]
        base = tuple(word.input_line for word in job if word not in values)
        if base not in composed:
            words = [word.input_line or "" for word in job]
            composed[base] = compose_by_hydra(config_name="config", overrides=words)
        # All jobs of a sweep set the same keys, so no value of the job before is left.
        for word in values:
            OmegaConf.update(composed[base], word.key_or_group, word.value())
        yield parsed(composed[base])


def _is_plain_value(word: "Override", job: "Sequence[Override]", loader: "ConfigLoader") -> bool:
    """Tell whether an override sets a single value: no group, no overlap with another override."""
    key = word.key_or_group
    overlaps = any(
        f"{key}.".startswith(f"{other.key_or_group}.")
        or f"{other.key_or_group}.".startswith(f"{key}.")
        for other in job
        if other is not word
    )
    is_change = not (word.is_add() or word.is_force_add() or word.is_delete())
    is_value = is_change and word.package is None and not isinstance(word.value(), dict)
    return is_value and not overlaps and not loader.get_group_options(key)
