"""Two processes on one experiment: two sweeps at once, and one that goes on after it was stopped.

A process that is stopped (SIGSTOP) for long enough loses its lease to another host. Continued, it
says so and changes nothing. Another host is a process here whose processes have other numbers.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from asymreinforce.data import files, lease
from tests.faults.test_random_kills import SWEEP, descendants, sweep
from tests.fixtures import kills, spies
from tests.fixtures.scenarios import SCENARIOS, Do, command, lay_out, states
from tests.fixtures.spies import At, Point
from tests.fixtures.stored_files import read_payload, read_stamps

STAGES = {
    "generate": ("prepared", SCENARIOS["generate"].do),
    "score": ("generate", SCENARIOS["score"].do),
    "train": ("score", SCENARIOS["train"].do),
    "evaluate": ("train", SCENARIOS["evaluate"].do),
    "run": ("score", SCENARIOS["run"].do),
}
PATIENCE_S = 120.0
one_by_one = command("sweep", *SWEEP, "sweep.workers=1")
SWEEPS = {"one by one": one_by_one, "parallel": sweep}


def elsewhere(do: Do) -> Do:
    """Do as another host, for which a lease is stale at once."""

    def there(work: Path) -> int:
        files.process_namespace = lambda: "another host"  # type: ignore[assignment]
        lease.STALE_S = files.ABANDONED_S = 0.0
        return do(work)

    return there


def stopped(number: int) -> At:
    """Be stopped at a failpoint."""

    def at(passed: int, point: Point) -> None:
        if passed == number:
            os.kill(os.getpid(), signal.SIGSTOP)

    return at


def errors_of(output: Path) -> list[str]:
    said = output.read_text()
    assert "Traceback" not in said and "unexpected" not in said, said
    return [line for line in said.splitlines() if line.startswith(("error: ", "failed: "))]


def stop_and_take_over(work: Path, policy: Path, stage: str) -> None:
    """Stop a stage in the middle, at the write of a shard and before its rename."""
    spies.prepare_this_process(work)
    after, do = STAGES[stage]
    states(work, policy, until=after)
    here, output, log = work / "here", work / "output", work / "log"
    lay_out(here, work / "states" / after, policy)
    code = spies.forked(lambda: do(here), output=output, at=spies.recorded(log))
    assert code == 0, output.read_text()
    expected = read_payload(here)
    points = spies.passed(log)
    receipts = {point.file for point in points if point.file.endswith(".receipt")}
    last = [point.file for point in points if f"{point.file}.receipt" in receipts][-1]
    write, rename = (
        max(n for n, point in enumerate(points, start=1) if point[:2] == (action, last))
        for action in ("write", "rename")
    )
    for number in (write, rename):
        lay_out(here, work / "states" / after, policy)
        output.write_text("")
        first = spies.fork(lambda: do(here), output=output, at=stopped(number))
        os.waitid(os.P_PID, first, os.WSTOPPED | os.WNOWAIT)
        time.sleep(0.1)
        assert spies.forked(lambda: elsewhere(do)(here), output=work / "other") == 0
        before = read_stamps(here)
        os.kill(first, signal.SIGCONT)
        assert spies.ended(first) == 1
        (error,) = errors_of(output)
        assert "has lost its lease" in error and "nothing more was written" in error
        assert read_stamps(here) == before
        assert read_payload(here) == expected


@pytest.mark.campaign
@pytest.mark.parametrize("stage", STAGES)
def test_a_process_that_was_stopped_past_its_lease_says_so_and_writes_nothing_more(
    stage: str, tmp_path: Path, random_policy: Path
) -> None:
    assert kills.run(stop_and_take_over, tmp_path, random_policy, stage) == 0


def stop_the_children(work: Path, policy: Path) -> None:
    """Stop both children of a parallel sweep, which have begun to train, until another is done."""
    os.environ["OMP_NUM_THREADS"] = "1"
    spies.prepare_this_process(work)
    states(work, policy, until="score")
    here, output = work / "here", work / "output"
    arms = here / "runs" / "cups" / "train"
    lay_out(here, work / "states" / "score", policy)
    assert spies.forked(lambda: one_by_one(here), output=output) == 0, output.read_text()
    expected = read_payload(here)
    lay_out(here, work / "states" / "score", policy)
    output.write_text("")
    parent = spies.fork(lambda: sweep(here), output=output)
    deadline = time.monotonic() + PATIENCE_S
    while len(list(arms.glob("*/mismatch.json"))) < 2:
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.01)
    started = descendants(parent)
    for pid in started:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.1)
    assert spies.forked(lambda: elsewhere(one_by_one)(here), output=work / "other") == 0
    for pid in started:
        os.kill(pid, signal.SIGCONT)
    assert spies.ended(parent) == 0, output.read_text()  # the arms are complete, whoever did it
    assert errors_of(output) == []
    assert read_payload(here) == expected


@pytest.mark.campaign
def test_children_that_were_stopped_past_their_leases_leave_the_arms_to_the_other_sweep(
    tmp_path: Path, random_policy: Path
) -> None:
    assert kills.run(stop_the_children, tmp_path, random_policy) == 0


def two_sweeps(work: Path, policy: Path, name: str, pairs: int) -> None:
    """Start a sweep and, after a while, another one; then run it once more."""
    do = SWEEPS[name]
    os.environ["OMP_NUM_THREADS"] = "1"
    spies.prepare_this_process(work)
    here = work / "here"
    outputs = [work / "first", work / "second"]
    generator = random.Random("two sweeps")
    lay_out(here, None, policy)
    assert spies.forked(lambda: do(here), output=outputs[0]) == 0, outputs[0].read_text()
    begun = time.monotonic()
    lay_out(here, None, policy)
    assert spies.forked(lambda: do(here), output=outputs[0]) == 0
    duration = time.monotonic() - begun
    expected = read_payload(here)
    for _ in range(pairs):
        lay_out(here, None, policy)
        both = []
        for output in outputs:
            output.write_text("")
            both.append(spies.fork(lambda: do(here), output=output))
            time.sleep(generator.uniform(0.0, 0.7 * duration))
        for child, output in zip(both, outputs, strict=True):
            code, errors = spies.ended(child), errors_of(output)
            assert (code, bool(errors)) in ((0, False), (1, True)), output.read_text()
            assert all(" works on it" in error for error in errors), errors
        assert spies.forked(lambda: do(here), output=work / "again") == 0
        assert read_payload(here) == expected


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "pairs"), [("one by one", 5), ("parallel", 1)])
def test_of_two_sweeps_at_once_one_is_refused_or_leaves_arms_to_the_other(
    name: str, pairs: int, tmp_path: Path, random_policy: Path
) -> None:
    assert kills.run(two_sweeps, tmp_path, random_policy, name, pairs) == 0
