"""Killed at random moments: a parallel sweep, an import, the bandit and a report, 40 times in all.

After each kill no process of the command is left, nothing in shared memory and nothing in the
temporary directory. The same command again ends in 0 and leaves the payload of a run that nobody
touched. A seed draws the moments, by the files that are there, and whom the kill hits.
"""

import contextlib
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from asymreinforce.processes import PR_SET_CHILD_SUBREAPER, children_of, prctl
from tests.fixtures import kills, spies
from tests.fixtures.scenarios import Do, bandit, command, imported, lay_out, report, states
from tests.fixtures.stored_files import read_payload

SECONDS_TO_END = 15.0
LONGEST_DELAY_S = 0.1
SHARED = Path("/dev/shm")
SWEEP = (
    *("baseline=-0.1,0", "seed=0", "sweep.workers=2", "optim.steps=4", "optim.epochs=1000"),
    *("train.validation_prompts=2", "sweep.report=false"),
)
sweep = command("sweep", *SWEEP)


def after_a_sweep(work: Path, policy: Path) -> None:
    states(work, policy, until="score")
    assert spies.forked(lambda: sweep(work / "here"), output=work / "output") == 0
    lay_out(work / "states" / "sweep", work / "here", policy)


def scored(work: Path, policy: Path) -> None:
    states(work, policy, until="score")


class Command(NamedTuple):
    """What is killed so many times, from which state, and what makes that state."""

    do: Do
    kills: int
    state: str | None = None
    prepare: Callable[[Path, Path], None] = lambda work, policy: None


COMMANDS = {
    "sweep": Command(sweep, 14, "score", scored),
    "import": Command(imported("import"), 8),
    "bandit": Command(bandit, 8),
    "report": Command(report("cups"), 10, "sweep", after_a_sweep),
}


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that these started, in order of number."""
    children = children_of(pid)
    return sorted(children.union(*(descendants(child) for child in children)))


def hit(command: int, generator: random.Random) -> str:
    """Kill the command alone, or with all that it started, or one process that it started."""
    started = descendants(command)
    whom = generator.choice(["parent", "all", "one"]) if started else "parent"
    chosen = {"parent": [command], "all": [command, *started]}
    for pid in chosen.get(whom) or [generator.choice(started)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return whom


def wait_for_orphans() -> list[int]:
    """Wait until what a command started has ended; return what has not, by its number.

    Orphans become children of this process (PR_SET_CHILD_SUBREAPER).
    """
    deadline = time.monotonic() + SECONDS_TO_END
    while descendants(os.getpid()) and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        time.sleep(0.02)
    return descendants(os.getpid())


def count_files(directory: Path) -> int:
    """Count files; directories may vanish meanwhile, which `os.walk` passes over."""
    return sum(len(names) for _, _, names in os.walk(directory))


def wait_for_files(directory: Path, count: int, command: int) -> None:
    """Wait until a directory holds so many files, or the command has ended."""
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while count_files(directory) < count and os.waitid(os.P_PID, command, ended) is None:
        time.sleep(0.005)


def left_in_shared_memory(before: set[Path]) -> set[Path]:
    """Return the files that are new and that no living process, of whatever command, has mapped."""
    deadline = time.monotonic() + SECONDS_TO_END
    while (left := _new_and_unused(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _new_and_unused(before: set[Path]) -> set[Path]:
    new = set(SHARED.iterdir()) - before
    for maps in Path("/proc").glob("[0-9]*/maps") if new else ():
        with contextlib.suppress(OSError):
            text = maps.read_text(errors="replace")
            new = {path for path in new if str(path) not in text}
    return {path for path in new if path.exists()}


def kill(work: Path, policy: Path, name: str) -> None:
    """What a forked child does: run a command untouched, then kill it so many times."""
    temporary = work / "tmp"
    temporary.mkdir()
    os.environ |= {"OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    tempfile.tempdir = None
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    spies.prepare_this_process(work)
    chosen = COMMANDS[name]
    chosen.prepare(work, policy)
    here, output = work / "here", work / "output"
    state = work / "states" / chosen.state if chosen.state else None
    generator = random.Random(f"moments of {name}")

    def do() -> int:
        return chosen.do(here)

    lay_out(here, state, policy)
    first = count_files(here) + 1
    assert spies.forked(do, output=output) == 0, output.read_text()
    expected = read_payload(here)
    for number in range(chosen.kills):
        shared = set(SHARED.iterdir())
        whom, code = "all", 0
        while whom != "one" and code == 0:  # it may have ended before
            lay_out(here, state, policy)
            output.write_text("")
            child = spies.fork(do, output=output)
            wait_for_files(here, generator.randint(first, len(expected)), child)
            time.sleep(generator.uniform(0.0, LONGEST_DELAY_S))
            whom = hit(child, generator)
            code = spies.ended(child)
        case = f"{name}, kill {number + 1}, of {whom}"
        said = output.read_text()
        assert code in ((0, 1) if whom == "one" else (-signal.SIGKILL,)), (case, code, said)
        assert "Traceback" not in said and "unexpected" not in said, (case, said)
        assert wait_for_orphans() == [], case
        assert left_in_shared_memory(shared) == set(), case
        assert spies.forked(do, output=output) == 0, (case, output.read_text())
        found = read_payload(here)
        differing = {n for n in {*found, *expected} if found.get(n) != expected.get(n)}
        assert differing == set(), (case, said, output.read_text())
        assert wait_for_orphans() == [], case
        assert list(temporary.iterdir()) == [], case
        with (work / "seen").open("a") as seen:
            seen.write(f"{whom}\n")


@pytest.mark.campaign
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_random_moments_it_ends_with_the_same_payload_and_leaves_nothing(
    name: str, tmp_path: Path, random_policy: Path
) -> None:
    assert kills.run(kill, tmp_path, random_policy, name, patience_s=1500) == 0
    seen = (tmp_path / "seen").read_text().split()
    assert len(seen) == COMMANDS[name].kills
    assert name != "sweep" or set(seen) == {"parent", "all", "one"}
