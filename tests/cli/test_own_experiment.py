"""Thirty questions and a small chat model: `asymrl new`, lines filled in, `asymrl sweep FILE`."""

from pathlib import Path

import pytest

from asymreinforce.data import contracts
from tests.fixtures import toy_chat
from tests.fixtures.commands import asymrl, only, refused

FILLED = {
    "policy.source: ???": "policy.source: qwen2",
    "policy.dtype: bfloat16": "policy.dtype: float32",
    "policy.context: 2048": "policy.context: 128",
    "engine: vllm": "engine: transformers",
    "task.path: ???": "task.path: sums.jsonl",
    "task.columns.question: question": "task.columns.question: text",
    "task.columns.answer: answer": "task.columns.answer: sum",
    "task.held_out: ???": "task.held_out: 10",
    "task.grader: math": "task.grader: exact",
    "max_tokens: 1024": "max_tokens: 6",
    "samples_per_prompt: 8": "samples_per_prompt: 4",
    "trajectories_per_step: 64": "trajectories_per_step: 32",
    "baseline: [-0.3, -0.1, 0, 0.1]": "baseline: [-0.1, 0.1]",
    "seed: [0, 1, 2]": "seed: 0\nreward.workers: 1\nsweep.workers: 1",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a model, 30 questions, and nothing else."""
    place = tmp_path_factory.mktemp("own")
    toy_chat.checkpoint(place / "qwen2")
    toy_chat.sums(place / "sums.jsonl", count=30)
    return place


def test_a_file_that_is_filled_in_is_an_experiment(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert asymrl("new", "arithmetic.yaml").code == 0
    text = Path("arithmetic.yaml").read_text()
    for line, filled in FILLED.items():
        assert line in text, line
        text = text.replace(line, filled)
    Path("arithmetic.yaml").write_text(text)

    outcome = asymrl("sweep", "arithmetic.yaml")
    assert outcome.code == 0, outcome.err
    runs = Path("runs/arithmetic")
    arms = contracts.read_table(runs / "summary.parquet", contracts.SUMMARY).to_pylist()
    assert sorted((row["baseline"], row["seed"]) for row in arms) == [(-0.1, 0), (0.1, 0)]
    held_out = contracts.read_table(
        only(runs / "prompts").path("held_out.parquet"), contracts.PROMPTS
    )
    assert len(held_out) == 10
    assert "arithmetic" in (runs / "report.html").read_text()

    one = asymrl("train", "name=arithmetic", "baseline=-0.05")
    assert one.code == 0, one.err
    assert len(list((runs / "train").glob("*/plan.json"))) == 3
    message = refused(asymrl("sweep", "name=arithmetic", "task.grader=math"), "task.grader=math")
    assert "runs/arithmetic has exact" in message
    again = asymrl("evaluate", "name=arithmetic")
    assert again.code == 0, again.err
    assert len(contracts.read_table(runs / "summary.parquet", contracts.SUMMARY)) == 3
