"""Commands that are told to stop, and commands whose directory another process has."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asymreinforce.data import lease
from tests.data.test_lease import another, said
from tests.fixtures.commands import EMBEDDED, TINY, only, published, refused, tiny


def start(command: str, runs_dir: Path, *settings: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "asymrl.main", command, f"runs_dir={runs_dir}"),
            *(*TINY, *EMBEDDED, *settings),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(done: object, process: "subprocess.Popen[str]") -> None:
    assert callable(done)
    deadline = time.monotonic() + 120
    while not done() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()


@pytest.mark.parametrize(
    ("command", "number"), [("train", signal.SIGTERM), ("evaluate", signal.SIGINT)]
)
def test_a_signal_ends_a_command_with_a_line_and_the_code_that_shells_expect(
    command: str, number: signal.Signals, made_once: Path, tmp_path: Path
) -> None:
    runs_dir = Path(shutil.copytree(made_once, tmp_path / "runs"))
    stage, settings = {
        "train": ("train", ["optim.steps=4000", "train.checkpoint_every=500", "optim.epochs=1000"]),
        "evaluate": ("evaluations", ["evaluation.sampling.samples_per_prompt=4000"]),
    }[command]
    before = len(list((runs_dir / "cups" / stage).glob("*/plan.json")))
    process = start(command, runs_dir, *settings)

    def is_at_work() -> bool:
        return len(list((runs_dir / "cups" / stage).glob("*/plan.json"))) > before

    wait_for(is_at_work, process)
    time.sleep(0.5)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in out + err
    assert err.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert not list(runs_dir.rglob(".tmp-*")) and not list(runs_dir.rglob("*.lease"))


@pytest.mark.parametrize(
    ("command", "stage"),
    [("generate", "rollouts"), ("score", "verdicts"), ("train", "train"), ("init", "prompts")],
)
def test_a_directory_that_another_process_has_is_refused_with_its_name_and_left_alone(
    command: str, stage: str, runs_dir: Path
) -> None:
    store = only(runs_dir / "cups" / stage)
    (store.directory / "manifest.json").unlink()
    (store.directory / f"{store.planned[0]}.receipt").unlink()
    before = published(store.directory)
    process = another(store.directory)
    assert said(process) == "held"
    outcome = tiny(command, runs_dir)
    refused(outcome, str(store.directory), f"process {process.pid} on ", "wait until it has ended")
    assert published(store.directory) == before
    process.communicate()
    assert tiny(command, runs_dir).code == 0
    assert store.is_complete()


def test_a_complete_directory_is_read_whoever_holds_it(runs_dir: Path) -> None:
    processes = []
    for stage in ("prompts", "policy", "rollouts", "verdicts", "train"):
        processes.append(another(only(runs_dir / "cups" / stage).directory))
        assert said(processes[-1]) == "held"
    for command in ("init", "generate", "score", "train"):
        assert tiny(command, runs_dir).code == 0
    for process in processes:
        process.communicate()


def test_what_another_process_has_just_planned_is_not_removed_by_one_that_is_refused(
    runs_dir: Path,
) -> None:
    """The refused one saw no directory when it began."""
    from asymreinforce.errors import InputError
    from asymreinforce.experiment.cleanup import remove_if_refused

    store = only(runs_dir / "cups" / "rollouts")
    other = type(store)(store.directory.parent, {"another": "identity"})
    with pytest.raises(InputError), remove_if_refused(other):
        process = another(other.directory)
        assert said(process) == "held"
        other.plan(["a"])
        raise InputError("no")
    assert (other.directory / "plan.json").exists()
    process.communicate()
    assert lease.current_holder(other.directory) is None


def test_a_sweep_names_who_has_an_arm_and_trains_the_others(runs_dir: Path) -> None:
    settings = ("baseline=-0.1,0.1", "hydra/launcher=basic", "sweep.report=false")
    assert tiny("train", runs_dir, "baseline=0.1").code == 0
    arm = sorted((runs_dir / "cups/train").glob("*/manifest.json"), key=lambda p: p.stat().st_mtime)
    directory = arm[-1].parent
    arm[-1].unlink()
    process = another(directory)
    assert said(process) == "held"
    outcome = tiny("sweep", runs_dir, *settings)
    assert outcome.code == 1
    assert f"failed: arm {directory.name}: process {process.pid} on " in outcome.err
    assert not (directory / "failure.json").exists()
    process.communicate()
    assert tiny("sweep", runs_dir, *settings).code == 0
