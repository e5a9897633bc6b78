"""`asymrl import` and the commands that go on from it with the same settings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from tests.fixtures import foreign_files as files
from tests.fixtures.commands import IN_PROCESS, Outcome, asymrl, foreign, only, published, refused

Command = Callable[..., Outcome]
HELD_BACK = ("source.validation=8", "source.held_out=12", "evaluation.train_prompts=4")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Rewarded rollouts of two policies on 40 prompts, the worked ones correct."""
    rows = [
        row | {"reward": row["policy"] == "large"} for row in files.rows(40, ("small", "large"))
    ]
    return files.jsonl(tmp_path / "rollouts.jsonl", rows)


@pytest.fixture
def command(tmp_path: Path, random_policy: Path, path: Path) -> Command:
    def run(name: str, *settings: str) -> Outcome:
        source = (f"source.path={path}", "optim.trajectories_per_step=16", *HELD_BACK)
        return foreign(name, tmp_path / "runs", random_policy, *source, *settings)

    return run


def test_import_then_sweep_with_the_same_settings(command: Command, tmp_path: Path) -> None:
    outcome = command("import")
    assert outcome.code == 0, outcome.err
    assert "40 rollouts of 20 prompts (2 of a prompt)" in outcome.err
    assert "policies: large 20, small 20" in outcome.err
    assert "log-probabilities: none; AsymRE needs none" in outcome.err
    before = published(tmp_path / "runs")
    before.pop("cups/experiment.json", None)  # the settings of the latest command
    outcome = command("sweep", "baseline=-0.1,0.1", "seed=0", "sweep.report=false", IN_PROCESS)
    assert outcome.code == 0, outcome.err
    after = published(tmp_path / "runs")
    assert {name: after[name] for name in before} == before
    assert "-0.1" in outcome.out and "+0.1" in outcome.out
    arms = [Store.open(p.parent) for p in (tmp_path / "runs/cups/train").glob("*/plan.json")]
    assert [arm.facts["steps"] for arm in arms] == [4, 4]
    held_out = contracts.read_table(
        only(tmp_path / "runs/cups/prompts").path("held_out.parquet"), contracts.PROMPTS
    )
    trained = contracts.read_table(
        only(tmp_path / "runs/cups/prompts").path("train.parquet"), contracts.PROMPTS
    )
    asked = set(held_out.column("question").to_pylist())
    assert len(asked) == 12 and not asked & set(trained.column("question").to_pylist())


def test_a_sweep_imports_by_itself_where_that_is_missing(command: Command, tmp_path: Path) -> None:
    settings = ("baseline=-0.1", "seed=0", "sweep.report=false", IN_PROCESS)
    outcome = command("sweep", *settings, "source.verdicts=graded")
    assert outcome.code == 0, outcome.err
    graders = {
        Store.open(p.parent).identity["grader"]["name"]
        for p in (tmp_path / "runs/cups/verdicts").glob("*/plan.json")
    }
    assert graders == {"imported", "final_answer"}


def test_bad_input_is_one_message_and_leaves_nothing(
    command: Command, tmp_path: Path, path: Path
) -> None:
    path.write_text('{"question": "a"}\nnonsense\n')
    message = refused(
        command("import"), "no column for the completion", "source.columns.completion"
    )
    assert "it has question" in message
    refused(command("train"), "run 'asymrl import' with the same settings first")
    refused(command("generate"), "rollouts are imported")
    refused(command("plan"), "a plan is for rollouts that will be generated")
    refused(command("import", "source.columns.nonsense=a"), "source.columns.nonsense")
    refused(asymrl("import", f"runs_dir={tmp_path}/runs"), "needs source.path")
    assert published(tmp_path) == {"rollouts.jsonl": published(tmp_path)["rollouts.jsonl"]}
