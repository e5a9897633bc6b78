"""List all settings and groups without Hydra or torch, and suggest fixes for typing errors.

Settings are the fields of `ExperimentConfig`, groups are the directories of `conf/`.
"""

import difflib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from asymreinforce.errors import ConfigError

INSTALLED = Path(__file__).resolve().parent
CHECKOUT = INSTALLED.parents[1]
ADDED_BY_HYDRA = ("runs_dir", "directory", "experiment")
"""Settings of `asymrl bandit` beside the fields of its model."""
PACKAGES = {"model": "policy"}
"""Groups whose files set a section of another name."""
NAMED = frozenset({"evaluation.suites"})
"""Mappings that may also be given as a list of names."""
SHOWN = 4
"""The largest number of names that a message suggests."""


def shipped() -> Path:
    """Return the shipped configuration: `conf/` of a checkout, or `asymrl/conf/` of a wheel."""
    # A wheel carries conf/ within the package, a checkout beside it.
    return INSTALLED / "conf" if (INSTALLED / "conf").is_dir() else CHECKOUT / "conf"


def install_files() -> Path:
    """Return the directory of the constraints and overrides files, of a checkout or a wheel."""
    return INSTALLED / "install" if (INSTALLED / "install").is_dir() else CHECKOUT


@functools.cache
def fields() -> dict[str, FieldInfo]:
    """Return every setting by its dotted key, without sections."""
    from asymreinforce.config import ExperimentConfig

    return dict(_fields_of(ExperimentConfig, ""))


def _fields_of(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


@functools.cache
def groups() -> dict[str, tuple[str, ...]]:
    """Return every group of settings with the names of its files."""
    groups: dict[str, list[str]] = {}
    for path in sorted(shipped().glob("*/*.yaml")):
        groups.setdefault(path.parent.name, []).append(path.stem)
    groups.pop("bandit_experiment", None)  # `asymrl bandit` alone takes its presets
    return {group: tuple(names) for group, names in groups.items()}


@functools.cache
def stated(group: str, name: str) -> frozenset[str]:
    """Return the dotted keys of the settings in a file of a group."""
    path = shipped() / group / f"{name}.yaml"
    is_global = path.read_text(encoding="utf-8").startswith("# @package _global_")
    return frozenset(_values_of(path, "" if is_global else f"{PACKAGES.get(group, group)}."))


@functools.cache
def base() -> dict[str, Any]:
    """Return the settings of `conf/config.yaml`, the base of every configuration."""
    return _values_of(shipped() / "config.yaml", "")


def _values_of(path: Path, prefix: str) -> dict[str, Any]:
    import yaml

    from asymreinforce.config.settings import flatten_settings

    values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return flatten_settings(
        {k: v for k, v in values.items() if k not in ("defaults", "hydra")}, prefix=prefix
    )


def takes_several(key: str) -> bool:
    """Tell whether one value of a setting is a list or mapping; else a list means a sweep."""
    return key in fields() and bool(_containers(fields()[key].annotation))


def takes_text(key: str) -> bool:
    """Tell whether the value of a setting may be any text."""
    annotation = fields()[key].annotation if key in fields() else None
    return str in (annotation, *get_args(annotation))


def _containers(annotation: Any) -> set[Any]:
    own = {get_origin(annotation) or annotation} & {list, tuple, dict}
    inner = [_containers(part) for part in get_args(annotation)] if not own else []
    return own.union(*inner)


def require_known(key: str, value: str, *, where: str = "") -> None:
    """Raise `ConfigError` with the nearest name if there is no such setting or choice.

    `where` begins the message: the file and line of a setting in a file.
    """
    if key.startswith("hydra") or "@" in key or not key:
        return  # Hydra checks its own settings, and groups at another place
    choices = groups().get(key)
    if choices is not None and value and set(value) <= set(_PLAIN):
        for one in value.split(","):
            if one not in (*choices, "null"):
                raise ConfigError(f"{where}{unknown(one, choices, f'{key}=')}")
    if choices is None and not is_setting(key):
        raise ConfigError(f"{where}{unknown(key, [*fields(), *groups()])}")


_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_,.-"


def is_setting(key: str) -> bool:
    """Tell whether a key is a setting, a section, or an entry of a mapping."""
    is_section = any(name.startswith(f"{key}.") for name in fields())
    return key in fields() or is_section or is_in_mapping(key)


def is_in_mapping(key: str) -> bool:
    """Tell whether a key is a mapping of names that a user chooses, or an entry of one."""
    parts = key.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    return any(
        name in fields() and dict in _containers(fields()[name].annotation) for name in names
    )


def require_known_to_bandit(key: str) -> None:
    """Raise `ConfigError` with the nearest name if the theory bench has no such setting."""
    from asymreinforce.bandit.config import BanditConfig

    names = [*BanditConfig.model_fields, *ADDED_BY_HYDRA]
    is_hydras = key.startswith(("hydra", "bandit_experiment")) or not key
    if not is_hydras and key.partition(".")[0] not in names:
        raise ConfigError(unknown(key, names, of="asymrl bandit"))


def unknown(name: str, known: Sequence[str], prefix: str = "", *, of: str = "") -> str:
    """Return the message for an unknown name, with the names that may be meant."""
    near = nearest(name, known)
    meant = " or ".join(f"{prefix}{one}" for one in near)
    what = f"{name}: no such setting{f' of {of}' if of else ''}"
    if prefix:
        what = f"there is no {prefix}{name}"
    if near:
        return f"{what}; did you mean {meant}?"
    if prefix:
        return f"{what}; there are {', '.join(known)}"
    return f"{what}; 'asymrl settings WORD' lists those that a word occurs in"


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """Return the known names most similar to a name, best first; empty if none is similar."""
    last = name.rpartition(".")[2]
    # The right name in the wrong section, or without one, is the most common slip.
    same = [key for key in known if key.rpartition(".")[2] == last]
    if same:
        return sorted(same, key=lambda key: (key.count("."), key))[:SHOWN]
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.75):
        return close
    by_last: dict[str, list[str]] = {}
    for key in known:
        by_last.setdefault(key.rpartition(".")[2], []).append(key)
    nearest = difflib.get_close_matches(last, list(by_last), n=1, cutoff=0.75)
    return by_last[nearest[0]][:SHOWN] if nearest else []
