"""Every command that takes long, told to stop: one line, the code that shells expect, no traceback.

The command's whole process group gets the signal, as from a terminal, or its first process alone,
as from a scheduler. Afterwards nothing of it runs, nothing is half-written, no lease is left, and
the same command goes on.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asymreinforce.data import lease
from tests.cli.test_stopped import start

PATIENCE_S = 240.0
LONG = ("optim.steps=4000", "train.checkpoint_every=500", "optim.epochs=1000")
SLOW_WARM_UP = ("policy.embedded.warm_up.steps=5000", "policy.embedded.warm_up.questions=5000")
MANY = ("sampling.samples_per_prompt=4000", "optim.trajectories_per_step=4000")
Begun = Callable[[Path], bool]


def planned(stage: str, more_than: int = 0) -> Begun:
    return lambda cups: len(list((cups / stage).glob("*/plan.json"))) > more_than


def in_training(arms: int) -> Begun:
    """So many arms, beside the one that was there, are about to take their first step."""
    return lambda cups: len(list((cups / "train").glob("*/mismatch.json"))) > arms


COMMANDS: dict[str, tuple[tuple[str, ...], str | None, Begun]] = {
    "init": (("init", *SLOW_WARM_UP), "", planned("policy")),
    "generate": (("generate", *MANY, "sampling.seed=9"), None, planned("rollouts", 1)),
    "score": (
        ("score", "task.grader=tests.fixtures.hostile_grader:slow"),
        None,
        planned("verdicts", 1),
    ),
    "sweep": (
        ("sweep", *LONG, "baseline=-0.1", "seed=0", "hydra/launcher=basic"),
        None,
        in_training(1),
    ),
    "sweep, parallel": (
        ("sweep", *LONG, "baseline=-0.1,0", "seed=0", "sweep.workers=2"),
        None,
        in_training(2),
    ),
    "run": (
        ("run", "refresh_every=500", *LONG, "baseline=-0.1", "seed=0"),
        None,
        in_training(1),
    ),
    "run, parallel": (
        ("run", "refresh_every=500", *LONG, "baseline=-0.1,0", "seed=0", "sweep.workers=2"),
        None,
        in_training(2),
    ),
}


def group_of(pid: int) -> list[str]:
    """The processes of a session that are alive, zombies aside."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid and fields[0] not in "ZX":
            found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.mark.campaign
@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("name", COMMANDS)
def test_told_to_stop_a_command_stops_with_a_line_and_all_its_processes(
    name: str, is_terminal: bool, made_once: Path, tmp_path: Path
) -> None:
    (command, *settings), state, has_begun = COMMANDS[name]
    runs_dir = tmp_path / "runs"
    if state is None:
        shutil.copytree(made_once, runs_dir)
    process = start(command, runs_dir, *settings)
    deadline = time.monotonic() + PATIENCE_S
    while not has_begun(runs_dir / "cups") and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.0)
    assert process.poll() is None, process.communicate()
    number = signal.SIGINT if is_terminal else signal.SIGTERM
    (os.killpg if is_terminal else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in out + err
    assert err.splitlines()[-1] == "interrupted; run the same command again to go on"
    deadline = time.monotonic() + 30
    while group_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert group_of(process.pid) == []
    assert not list(runs_dir.rglob(".tmp-*"))
    assert not list(runs_dir.rglob("*.lease"))
    if command in ("sweep", "run"):  # each arm in training left a checkpoint of where it stood
        arms = [path.parent for path in (runs_dir / "cups/train").glob("*/plan.json")]
        begun = [arm for arm in arms if not (arm / "manifest.json").exists()]
        assert [len(list(arm.glob("interrupted/*/state.json"))) for arm in begun] == [1] * len(
            begun
        )
    stores = [path.parent for path in runs_dir.rglob("plan.json")]
    assert [lease.current_holder(directory) for directory in stores] == [None] * len(stores)


@pytest.mark.campaign
def test_the_second_ctrl_c_stops_at_once(made_once: Path, tmp_path: Path) -> None:
    """The first asks training for a checkpoint after its step; the second does not wait."""
    runs_dir = Path(shutil.copytree(made_once, tmp_path / "runs"))
    steps = ("optim.steps=400", "optim.epochs=1000", "train.validation_prompts=0")
    process = start("train", runs_dir, *steps, "optim.trajectories_per_step=192")
    deadline = time.monotonic() + PATIENCE_S
    while not planned("train", 1)(runs_dir / "cups") and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, err = process.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - asked < 10
    assert process.returncode in (-signal.SIGINT, 130), err
    assert "Traceback" not in err
