"""Types of settings that are paths, with `~` expanded to the home directory."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def expand_home(path: str) -> str:
    """Return a path with a leading `~` or `~user` replaced by the home directory.

    Raises `ValueError` if there is no such user.
    """
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError as error:
        # kept as it is, the path would become a directory named `~user`
        raise ValueError(f"{error}; write the path from / on, or ./{path}") from None


HomePath = Annotated[Path, AfterValidator(lambda path: Path(expand_home(str(path))))]
HomeText = Annotated[str, AfterValidator(expand_home)]
"""A path, or a name such as `embedded` or a hub id."""
