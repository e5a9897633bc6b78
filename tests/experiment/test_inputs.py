"""Whether rollouts are generated or imported is chosen once, from the configuration."""

import ast
from pathlib import Path

import pytest

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.task import SPLITS
from asymreinforce.errors import ConfigError
from asymreinforce.experiment.inputs import generated, imported, require_generated, rollout_source
from tests.fixtures import foreign_files as files
from tests.fixtures.experiments import small_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def foreign(tmp_path: Path, random_policy: Path) -> ExperimentConfig:
    """An experiment on a file of rollouts, of which two prompts are held back."""
    path = files.jsonl(tmp_path / "mine.jsonl", files.rows(4, ("small", "large")))
    return files.settings(tmp_path / "runs", random_policy, path, source__held_out=2)


def test_the_configuration_chooses_where_rollouts_come_from(
    config: ExperimentConfig, foreign: ExperimentConfig
) -> None:
    assert (rollout_source(config), rollout_source(foreign)) == (generated, imported)


def test_a_group_is_of_the_size_that_was_asked_for_or_that_it_came_in(
    config: ExperimentConfig, foreign: ExperimentConfig
) -> None:
    assert (config.group_size, foreign.group_size) == (4, None)


def test_questions_come_from_the_rollouts_that_hold_some_back_or_from_the_task(
    tmp_path: Path, random_policy: Path, foreign: ExperimentConfig
) -> None:
    own = small_config(tmp_path, policy=random_policy, task__validation=0)
    assert [own.questions_of(split) for split in SPLITS] == ["task", None, "task"]
    assert [foreign.questions_of(split) for split in SPLITS] == ["source", "task", "source"]


def test_rollouts_that_exist_are_not_generated(foreign: ExperimentConfig) -> None:
    with pytest.raises(ConfigError, match=r"^source\.path is set: here is why$"):
        require_generated(foreign, "here is why")


def test_nobody_else_asks_whether_rollouts_are_foreign() -> None:
    """Two properties of the configuration rest on it, and the choice of the source."""
    askers = [
        str(path.relative_to(ROOT))
        for folder in ("asymreinforce", "cli", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "is_foreign"
    ]
    experiment = "asymreinforce/config/sections.py"
    assert askers == [experiment, experiment, "asymreinforce/experiment/inputs/__init__.py"]
