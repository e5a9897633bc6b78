"""Real commands with the real vLLM, killed at random moments, and run again.

Each command is killed once on its way (by `make chaos` eight times), at a moment that a seed draws
after it has begun to publish; run to the end, it leaves the payload of a run that nobody touched.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.stored_files import read_payload

KILLS = int(os.environ.get("ASYMRL_KILLS", "1"))
SETTINGS = [
    "task.train=160",
    "task.validation=20",
    "task.held_out=20",
    "sampling.prompts_per_shard=4",
    "policy.embedded.warm_up.steps=30",
    "policy.embedded.warm_up.questions=400",
    "optim.steps=16",
    "optim.trajectories_per_step=64",
    "train.checkpoint_every=1",
    "train.validation_prompts=0",
    "evaluation.train_prompts=0",
    "evaluation.sampling.samples_per_prompt=2",
    "engine.max_sequences=64",
]


def start(command: str, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "asymrl.main", command, *SETTINGS],
        cwd=directory,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(command: str, directory: Path) -> None:
    process = start(command, directory)
    _, error = process.communicate()
    assert process.returncode == 0, error.decode()


def published(directory: Path) -> int:
    """Count receipts; directories may vanish meanwhile, which `os.walk` passes over."""
    return sum(name.endswith(".receipt") for _, _, names in os.walk(directory) for name in names)


def kill(command: str, directory: Path, output: Path, generator: random.Random) -> None:
    """Start, wait until one to three things more are published, then up to 30 ms, and kill.

    Of evaluations one: a checkpoint is evaluated at once, and there are 17.
    """
    wanted = published(output) + (generator.randint(1, 3) if command != "evaluate" else 1)
    process = start(command, directory)
    while published(output) < wanted and process.poll() is None:
        time.sleep(0.002)
    time.sleep(generator.uniform(0, 0.03))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"{command} ended before it was killed"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which every command ran once, to its end."""
    directory = tmp_path_factory.mktemp("untouched")
    for command in ("init", "generate", "score", "train"):
        finish(command, directory)
    return directory


@pytest.mark.vllm
@pytest.mark.parametrize(
    ("command", "stage", "inputs"),
    [
        ("score", "verdicts", ["prompts", "policy", "rollouts"]),
        ("train", "train", ["prompts", "policy", "rollouts", "verdicts"]),
        ("generate", "rollouts", ["prompts", "policy"]),
        pytest.param(
            "evaluate",
            "evaluations",
            ["prompts", "policy", "rollouts", "verdicts", "train"],
            marks=pytest.mark.campaign,
        ),
    ],
)
def test_killed_at_random_moments_it_ends_with_the_same_payload(
    untouched: Path, tmp_path: Path, command: str, stage: str, inputs: list[str]
) -> None:
    if command == "evaluate":
        finish(command, untouched)
    here, there = tmp_path / "runs" / "cups", untouched / "runs" / "cups"
    for name in inputs:
        shutil.copytree(there / name, here / name)
    generator = random.Random(f"moments of {command}")
    for _ in range(KILLS):
        kill(command, tmp_path, here / stage, generator)
    assert read_payload(here / stage) != read_payload(there / stage)  # there was more to do
    finish(command, tmp_path)
    assert read_payload(here / stage) == read_payload(there / stage)
