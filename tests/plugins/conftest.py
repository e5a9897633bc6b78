"""The directory that plugins are imported from."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory that the command is started in; what is imported from it is forgotten after."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    yield directory
    for name in {*sys.modules} - before:
        if name.startswith("plugin"):
            del sys.modules[name]
