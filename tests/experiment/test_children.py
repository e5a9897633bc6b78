"""Children of slots: how many run at once, what each is shown, and how they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asymreinforce.experiment.children import work_in_slots
from asymreinforce.experiment.slots import ON_CPU
from tests.fixtures import slot_work

PATIENCE_S = 30.0


def test_on_the_cpu_a_child_goes_on_to_the_next_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    outcomes = work_in_slots(slot_work.look, [0.01] * 6, slots=[ON_CPU, ON_CPU])
    seen = [outcome.value for outcome in outcomes]
    assert 1 <= len({one.process for one in seen}) <= 2
    assert all(one.devices == ["3", "4"] for one in seen)  # as it was for this process


@pytest.mark.parametrize("slots", [[("5",)], [ON_CPU]])
def test_a_child_that_dies_frees_its_slot(slots: list[tuple[str, ...]]) -> None:
    first, second, third = work_in_slots(slot_work.die_or_look, [0.0, None, 0.0], slots=slots)
    assert not first.error and not third.error
    assert second.error == "its process ended with signal 9 (Killed)"
    if slots[0]:
        assert first.value.devices == third.value.devices == ["5"]


def test_an_exception_is_one_line_with_the_log_of_its_traceback_and_frees_the_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    outcomes = work_in_slots(slot_work.fail, ["one", "two"], slots=[ON_CPU])
    for outcome, reason in zip(outcomes, ("one", "two"), strict=True):
        words, _, log = outcome.error.rstrip(")").partition(" (log: ")
        assert words == f"unexpected ValueError: {reason}"
        assert Path(log).read_text().startswith("Traceback")
        assert Path(log).read_text().endswith(f"ValueError: {reason}\n")


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("work", [slot_work.leave_a_process, slot_work.leave_a_process_and_die])
def test_what_a_child_started_ends_with_it(
    work: Callable[[str], int | None], tmp_path: Path
) -> None:
    """An engine's own processes hold the device's memory, and the child's connection."""
    place = tmp_path / "process"
    started = time.monotonic()
    (outcome,) = work_in_slots(work, [str(place)], slots=[("0",)])
    assert bool(outcome.error) == (work is slot_work.leave_a_process_and_die)
    assert not is_running(int(place.read_text()))
    assert time.monotonic() - started < PATIENCE_S


def test_nothing_is_begun_after_a_word_to_stop() -> None:
    asked = iter([False, False, False, True, True, True, True, True])
    outcomes = work_in_slots(
        slot_work.look, [0.1] * 5, slots=[("0",)], is_asked_to_stop=lambda: next(asked, True)
    )
    assert not outcomes[0].error
    assert outcomes[-1].error == "was not begun"


COMMAND = """
import sys
from asymreinforce.experiment.children import work_in_slots
from tests.fixtures import slot_work
work_in_slots(slot_work.wait_for_a_signal, [sys.argv[1]] * 2, slots=[("0",), ("1",)])
"""


@pytest.mark.parametrize("is_stopped", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_children_end_with_the_command_however_it_ends(
    number: signal.Signals, is_stopped: bool, tmp_path: Path
) -> None:
    """Also if one of them is stopped, as by a debugger or a scheduler that suspends jobs."""
    command = [sys.executable, "-c", COMMAND, str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    children = [int(path.name) for path in tmp_path.iterdir()]
    assert len(children) == 2
    if is_stopped:
        os.kill(children[0], signal.SIGSTOP)
    os.kill(process.pid, number)
    process.wait(PATIENCE_S)
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_running, children))
