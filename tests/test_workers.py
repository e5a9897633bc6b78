"""A command and the processes that it trains in: asked to stop, they stop together."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from asymreinforce import interruption
from asymreinforce.interruption import Interrupted, as_worker, delay_signals, handle_signals

PATIENCE_S = 30.0


def train(arm: tuple[Path, str]) -> None:
    """A task that can stop at each of its steps, and then writes where it stands."""
    place, name = arm

    def task() -> None:
        with delay_signals() as is_asked_to_stop:
            (place / f"{name}.begun").touch()
            deadline = time.monotonic() + PATIENCE_S
            while not is_asked_to_stop() and time.monotonic() < deadline:
                time.sleep(0.01)
            (place / f"{name}.checkpoint").write_text(str(is_asked_to_stop()))

    as_worker(task)


COMMAND = """
import sys
from pathlib import Path
from asymreinforce.experiment.children import work_in_slots
from asymreinforce.experiment.slots import ON_CPU
from asymreinforce.interruption import Interrupted, delay_signals, handle_signals
from tests.test_workers import train

with handle_signals():
    try:
        with delay_signals() as is_asked_to_stop:
            arms = [(Path(sys.argv[1]), name) for name in "abc"]
            slots = [("0",), ("1",)] if sys.argv[2] == "cuda" else [ON_CPU] * 2
            work_in_slots(train, arms, slots=slots, is_asked_to_stop=is_asked_to_stop)
    except Interrupted as stop:
        sys.exit(stop.code)
"""


@pytest.mark.parametrize(
    ("device", "number"),
    [("cpu", signal.SIGTERM), ("cuda", signal.SIGTERM), ("cpu", signal.SIGINT)],
)
def test_workers_take_a_checkpoint_when_their_command_alone_is_told_to_stop(
    device: str, number: signal.Signals, tmp_path: Path
) -> None:
    """Three arms, two workers; a signal to the first process once both workers are at work."""
    process = subprocess.Popen([sys.executable, "-c", COMMAND, str(tmp_path), device])
    while len(list(tmp_path.glob("*.begun"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(timeout=PATIENCE_S) == 128 + number
    checkpoints = {path.name: path.read_text() for path in tmp_path.glob("*.checkpoint")}
    assert checkpoints == {"a.checkpoint": "True", "b.checkpoint": "True"}  # c never began


def test_a_task_in_the_process_of_its_command_is_just_done(tmp_path: Path) -> None:
    with handle_signals():
        as_worker(lambda: (tmp_path / "done").touch())
    assert (tmp_path / "done").exists()


def test_a_signal_to_a_worker_alone_is_not_taken_for_its_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interruption, "_word_to_stop", threading.Event())
    with pytest.raises(Interrupted):
        as_worker(lambda: os.kill(os.getpid(), signal.SIGTERM))
