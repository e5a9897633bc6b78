"""Read an experiment's file: a line KEY: VALUE means KEY=VALUE on the command line.

    name: arithmetic
    task: file
    task.path: questions.jsonl
    baseline: [-0.3, -0.1, 0, 0.1]

A list is swept if the setting takes one value. Sections may also be written as mappings.
"""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from asymreinforce.credentials import require_none
from asymreinforce.errors import ConfigError
from asymrl import keys
from asymrl.bridge import fit_name
from asymrl.words import quoted_text

PLAIN = re.compile(
    r"[-+]?(\d[\d_]*)?\.?\d+([eE][-+]?\d+)?|[-+]?\d[\d_]*\.([eE][-+]?\d+)?"
    r"|(?!nan$|inf$)[A-Za-z_][A-Za-z0-9_.-]*",
    re.IGNORECASE,
)
"""Scalars that Hydra reads without quotes: numbers, null, names."""
MERGE = "<<"


UNFILLED = "???"


def name_of(path: Path) -> str:
    """Return the name of an experiment from the name of its file."""
    return fit_name(path.stem) or "experiment"


def words(path: str, *, given: Collection[str] = ()) -> list[str]:
    """Return the settings of a file as KEY=VALUE words; `name` defaults to the name of the file.

    Raises `ConfigError`, with file, line and key, if the file cannot be read, or has a setting that
    is unknown, occurs twice, or is neither filled in nor `given` elsewhere.
    """
    import yaml

    values: dict[str, str] = {}
    try:
        text = Path(path).read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; 'asymrl new {path}' writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {_told(error)}") from None
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}: holds no lines KEY: VALUE")
    for key, value, line in _settings(root, "", path) if root is not None else ():
        where = f"{path}, line {line}: "
        require_none({f"{where}{key}": value}, os.environ)  # before a message quotes the value
        keys.require_known(key, value, where=where)
        if key in values:
            raise ConfigError(f"{where}{key} stands there twice")
        values[key] = value
        if value.strip('"') == UNFILLED and key not in given:
            raise ConfigError(f"{where}{key} is still {UNFILLED}: fill it in, or give {key}=VALUE")
    return [f"{key}={value}" for key, value in ({"name": name_of(Path(path))} | values).items()]


def _settings(mapping: Any, prefix: str, path: str) -> Iterator[tuple[str, str, int]]:
    """Yield the key, the value in Hydra's syntax, and the line of each setting of a mapping."""
    import yaml

    for name, node in mapping.value:
        line = name.start_mark.line + 1
        key = f"{prefix}{name.value}"
        is_odd = not isinstance(name, yaml.ScalarNode) or not name.value or "=" in name.value
        if is_odd or name.value.startswith(("+", "~", "hydra")) or name.value == MERGE:
            raise ConfigError(f"{path}, line {line}: {key}: a line is KEY: VALUE")
        is_section = isinstance(node, yaml.MappingNode) and not keys.takes_several(key)
        if is_section and node.value:
            yield from _settings(node, f"{key}.", path)
            continue
        try:
            yield key, _value(node, key), line
        except ValueError as error:
            raise ConfigError(f"{path}, line {line}: {key}: {error}") from None


def _value(node: Any, key: str) -> str:
    """Return a node in Hydra's syntax; a list is swept unless the setting takes lists."""
    import yaml

    if isinstance(node, yaml.SequenceNode) and not keys.takes_several(key):
        if not node.value:
            raise ValueError(
                "an empty list; the setting takes one value, or several that are swept"
            )
        return ",".join(_literal(item) for item in node.value)
    text = _literal(node)
    is_text = isinstance(node, yaml.ScalarNode) and node.style is None
    # On the command line, `a,b` without quotes is a sweep as well.
    swept = [part.strip() for part in node.value.split(",")] if is_text else []
    if len(swept) > 1 and not keys.takes_text(key) and all(map(PLAIN.fullmatch, swept)):
        return ",".join(swept)
    return text


def _literal(node: Any) -> str:
    """Return a value in Hydra's syntax."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return "[" + ",".join(map(_literal, node.value)) + "]"
    if isinstance(node, yaml.MappingNode):
        return "{" + ",".join(f"{k.value}: {_literal(v)}" for k, v in node.value) + "}"
    if node.style is None and node.tag == "tag:yaml.org,2002:null":
        return "null"
    if node.style is None and node.tag == "tag:yaml.org,2002:bool":
        return "true" if node.value.lower() in ("yes", "true", "on") else "false"
    if node.style is None and PLAIN.fullmatch(node.value):
        return str(node.value)
    return quoted_text(node.value)


def _told(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or f"{error}".partition("\n")[0]
    return f"line {mark.line + 1}: {problem}" if mark else problem
