"""The parent of work side by side is killed alone: nothing of it stays, and the rerun completes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.commands import EMBEDDED, TINY

PATIENCE_S = 240.0
SECONDS_TO_END = 15.0
MARK = "MARK_OF_A_TEST"
STEPS = ("optim.steps=60", "train.checkpoint_every=20", "optim.epochs=1000")
SETTINGS = (*STEPS, "baseline=-0.1,0", "seed=0", "sweep.workers=2")
COMMANDS = {
    "sweep, in training": (("sweep", *SETTINGS), "train/*/mismatch.json", 3),
    "sweep, in evaluation": (("sweep", *SETTINGS), "evaluations/*/plan.json", 1),
    "run, in training": (("run", "refresh_every=20", *SETTINGS), "train/*/mismatch.json", 3),
}


def start(command: tuple[str, ...], runs: Path, mark: str) -> "subprocess.Popen[str]":
    name, *settings = command
    environment = {
        MARK: mark,
        "ASYMRL_GRADER_ENVIRONMENT": MARK,  # so that its graders are found as well
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(runs.parent),
    }
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "asymrl.main", name, f"runs_dir={runs}"),
            *(*TINY, *EMBEDDED, *settings),
        ],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def marked(mark: str) -> list[str]:
    """The command lines of the processes that carry a mark, zombies aside."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment and state != "Z":
            found.append((entry / "cmdline").read_text().replace("\0", " ")[:200])
    return found


@pytest.mark.campaign
@pytest.mark.parametrize("name", COMMANDS)
def test_a_parent_that_is_killed_alone_leaves_no_process_and_the_rerun_completes(
    name: str, made_once: Path, tmp_path: Path
) -> None:
    command, sign, count = COMMANDS[name]
    runs, mark = tmp_path / "runs", f"{os.getpid()}-{name}"
    shutil.copytree(made_once, runs)
    cups, shared = runs / "cups", set(Path("/dev/shm").iterdir())
    count += len(list(cups.glob(sign))) - (1 if sign.startswith("train") else 0)
    process = start(command, runs, mark)
    deadline = time.monotonic() + PATIENCE_S
    while len(list(cups.glob(sign))) < count or len(marked(mark)) < 3:  # itself, and two more
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + SECONDS_TO_END
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(mark) == []
    assert set(Path("/dev/shm").iterdir()) <= shared
    again = start(command, runs, mark)
    _, err = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, err
    assert "Traceback" not in err
    assert len(list(cups.glob("train/*/manifest.json"))) == 3  # one was there before
    assert not list(runs.rglob(".tmp-*")) and not list(runs.rglob("*.lease"))
