"""The rollouts that most tests of training read, and those that tests of scoring do."""

from pathlib import Path

import pytest

from asymreinforce.data.rollouts import ScoredRollouts
from tests.fixtures import made_up_rollouts
from tests.fixtures.made_up_rollouts import MadeUp
from tests.fixtures.tiny_arm import scored


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> ScoredRollouts:
    return scored(tmp_path_factory.mktemp("set"))


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    return made_up_rollouts.make(tmp_path, prompts=20, samples=6, samples_per_block=3)
