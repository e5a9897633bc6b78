"""A sweep of two baselines and two seeds, made once; tests that change it work on a copy."""

import shutil
from pathlib import Path

import pytest

from tests.cli.commands import IN_PROCESS, Outcome, tiny

SWEEP = ("baseline=-0.1,0.1", "seed=0,1")


@pytest.fixture(scope="session")
def first_sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """`asymrl sweep` in an empty directory, and how it ended."""
    runs_dir = tmp_path_factory.mktemp("first-sweep") / "runs"
    return runs_dir, tiny("sweep", runs_dir, *SWEEP, IN_PROCESS)


@pytest.fixture
def swept(first_sweep: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A copy of its runs directory."""
    return Path(shutil.copytree(first_sweep[0], tmp_path / "runs"))
