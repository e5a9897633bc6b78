"""JSON files that hold their own checksum, which reveals damage and changes by hand."""

import hashlib
import json
from pathlib import Path
from typing import Any

from asymreinforce.data.files import publish_json, read_json
from asymreinforce.errors import InputError


def publish_sealed(path: Path, value: dict[str, Any]) -> None:
    """Publish a JSON object with its checksum under `check`."""
    publish_json(path, {**value, "check": _checksum_of(value)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a JSON object and check its checksum, which the result does not contain.

    Raises `InputError` if the file is absent, damaged or changed.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object; delete it and run the stage again")
    # files of earlier versions have no checksum
    if value.pop("check", None) not in (None, _checksum_of(value)):
        raise InputError(
            f"{path}: damaged, or changed by hand (its checksum differs); delete it and run the "
            "stage again"
        )
    return value


def _checksum_of(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
