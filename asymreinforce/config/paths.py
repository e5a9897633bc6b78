"""Paths among the settings: `~` is the home directory, whoever reads the setting."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def expand_home(path: str) -> str:
    """Return a path with `~` or `~user` at its start replaced by that home directory.

    Raises `ValueError` if there is no such user: the path would become a directory named `~user`.
    """
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError as error:
        raise ValueError(f"{error}; write the path from / on, or ./{path}") from None


HomePath = Annotated[Path, AfterValidator(lambda path: Path(expand_home(str(path))))]
HomeText = Annotated[str, AfterValidator(expand_home)]
"""A path, or a name that is no path."""
