"""A sweep of two baselines and two seeds, and an arm of three rounds, each made once."""

import shutil
from pathlib import Path

import pytest

from tests.fixtures import rounds
from tests.fixtures.commands import IN_PROCESS, Outcome, tiny

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


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, random_policy: Path) -> rounds.Trained:
    """Three rounds of two steps."""
    config = rounds.settings(tmp_path_factory.mktemp("rounds"), random_policy)
    return config, *rounds.run(config)
