"""The rollouts that most tests of training read."""

import pytest

from asymreinforce.data.rollouts import ScoredRollouts
from tests.stages.training import scored


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> ScoredRollouts:
    return scored(tmp_path_factory.mktemp("set"))
