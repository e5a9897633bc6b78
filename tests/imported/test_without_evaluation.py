"""Rollouts with rewards and nothing else: they train, and nothing is said of an accuracy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from asymreinforce.data import contracts
from tests.fixtures import foreign_files as files
from tests.fixtures.commands import IN_PROCESS, Outcome, asymrl, refused

SMALL = (
    *("policy.dtype=float32", "policy.context=64", "engine=transformers", "optim.epochs=2"),
    *("optim.trajectories_per_step=4", "train.checkpoint_every=5", "train.slice_prompts=4"),
    *("sweep.workers=1", "reward.workers=1", "evaluation.sampling.max_tokens=8"),
)
Command = Callable[..., Outcome]


@pytest.fixture
def command(tmp_path: Path, random_policy: Path) -> Command:
    """A command on 20 prompts of two rollouts: prompt, completion, reward."""
    rows = [
        {"prompt": row["question"], "completion": row["completion"], "reward": index % 2}
        for index, row in enumerate(files.rows(20, ("small", "large")))
    ]
    path = files.jsonl(tmp_path / "mine.jsonl", rows)
    own = (f"source.path={path}", f"policy.source={random_policy}", f"runs_dir={tmp_path}/runs")

    def run(name: str, *settings: str) -> Outcome:
        return asymrl(name, *own, *SMALL, *settings)

    return run


def test_a_sweep_ends_with_what_it_knows(command: Command, tmp_path: Path) -> None:
    outcome = command("sweep", "baseline=-0.1,0", "seed=0", IN_PROCESS)
    assert outcome.code == 0, outcome.err
    assert "not evaluated: source.held_out=0; source.held_out=N holds" in outcome.err
    said = " ".join(outcome.out.split())
    assert said.count("not evaluated") == 3  # the title, and each arm
    assert "0.0%" not in outcome.out and "accuracy in %" not in outcome.out
    page = (tmp_path / "runs/mine/report.html").read_text()
    assert "No arm is evaluated yet" in page
    assert "0.0%" not in page.partition("</nav>")[2].partition("<h2")[0]
    assert not (tmp_path / "runs/mine/evaluations").exists()
    refused(command("evaluate"), "nothing to evaluate on", "source.held_out=N")
    outcome = command("sweep", "baseline=-0.1,0", "seed=0", IN_PROCESS)
    assert (outcome.code, " ".join(outcome.out.split())) == (0, said)


def test_why_the_run_teaches_little_stands_in_the_terminal_and_on_the_page(
    command: Command, tmp_path: Path
) -> None:
    warning = "an arm has 1 steps and a checkpoint every 5"
    settings = ("baseline=-0.1", "seed=0", "optim.epochs=1", "optim.trajectories_per_step=40")
    outcome = command("sweep", *settings, IN_PROCESS)
    assert outcome.code == 0, outcome.err
    assert f"warning: {warning}" in outcome.err
    assert f"Warning: {warning}" in (tmp_path / "runs/mine/report.html").read_text()
    outcome = asymrl("report", str(tmp_path / "runs/mine"))
    assert warning in " ".join(outcome.out.split())


@pytest.mark.parametrize("held_back", ["source.held_out=5", "source.validation=5"])
def test_questions_without_gold_answers_are_refused_before_training(
    held_back: str, command: Command, tmp_path: Path
) -> None:
    message = refused(
        command("sweep", "baseline=-0.1", "seed=0", held_back, IN_PROCESS),
        "cannot use 5 of 5 gold answers",
        "source.columns.gold_answer",
    )
    assert ("evaluation.prompts=0" if "held" in held_back else "validation_prompts=0") in message
    assert not (tmp_path / "runs/mine/train").exists()
    refused(command("train", held_back), "cannot use 5 of 5 gold answers")


def test_an_arm_trains_where_the_questions_are_left_out(command: Command) -> None:
    outcome = command("import", "source.held_out=5")
    assert outcome.code == 0, outcome.err
    outcome = command("train", "source.held_out=5", "evaluation.prompts=0")
    assert outcome.code == 0, outcome.err


def test_imported_rollouts_are_evaluated_on_a_task_and_on_suites_beside_it(
    command: Command, tmp_path: Path
) -> None:
    rows = [{"question": f"{n}?", "answer": f"{n}"} for n in range(6)]
    task = ("task=file", f"task.path={files.jsonl(tmp_path / 'asked.jsonl', rows)}")
    own = ("task.held_out=4", "task.grader=exact", "evaluation.sampling.samples_per_prompt=2")
    suite = "evaluation.suites.cups.task={preset: cups, train: 0, validation: 0, held_out: 5}"
    outcome = command("sweep", "baseline=-0.1", "seed=0", *task, *own, suite, IN_PROCESS)
    assert outcome.code == 0, outcome.err
    (directory,) = (tmp_path / "runs").glob("*/")
    rows = contracts.read_table(directory / "suites.parquet", contracts.SUITES).to_pylist()
    sizes = {(row["suite"], row["is_main"], row["prompts"]) for row in rows}
    assert {(is_main, prompts) for _, is_main, prompts in sizes} == {(True, 4), (False, 5)}
    assert len(rows) == 2 * 2  # mu and the last step
