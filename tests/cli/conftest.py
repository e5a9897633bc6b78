"""The tiny experiment, made once and copied for each test that damages it."""

import shutil
from pathlib import Path

import pytest

from tests.fixtures.commands import tiny


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory in which init, generate, score and train ran."""
    runs_dir = tmp_path_factory.mktemp("made-once") / "runs"
    for command in ("init", "generate", "score", "train"):
        outcome = tiny(command, runs_dir)
        assert outcome.code == 0, outcome.err
    return runs_dir


@pytest.fixture
def runs_dir(made_once: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(made_once, tmp_path / "runs"))
