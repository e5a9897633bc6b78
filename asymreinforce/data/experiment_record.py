"""Read `runs/<name>/experiment.json`: the settings that an experiment was made with.

The command line writes the file (`asymrl/remembered.py`). It determines nothing.
"""

from pathlib import Path
from typing import Any

from asymreinforce.data.sealed import read_sealed

FILE = "experiment.json"


def recorded_settings(directory: Path) -> dict[str, Any]:
    """Return the flat settings that all arms of an experiment share; empty if unknown.

    Raises `InputError` if the file is damaged.
    """
    path = directory / FILE
    return dict(read_sealed(path).get("settings", {})) if path.is_file() else {}
