"""In the middle of a stage: no space, permission lost, renames slow, the engine dead.

Each stage publishes half of what it has to, then meets the fault. It ends with one message and no
file half-written; once the fault is mended, the same command gives the payload of an untouched run.
"""

import functools
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from tests.fixtures import kills, spies
from tests.fixtures.machine_faults import (
    FAULTS,
    ON_A_DISK_OF_ITS_OWN,
    can_mount,
    is_root,
    may_start_python,
    unmount,
    unprivileged,
)
from tests.fixtures.scenarios import SCENARIOS, command, lay_out, states
from tests.fixtures.spies import Point
from tests.fixtures.stored_files import read_payload

STAGES = {
    "generate": ("prepared", "generate"),
    "score": ("generate", "score"),
    "train": ("score", "train"),
    "evaluate": ("train", "evaluate"),
    "sweep": ("score", "sweep, together"),
    "report": ("evaluate", "report"),
}


WITH_GRADERS = ("score", "evaluate", "sweep")


def in_the_middle(points: list[Point]) -> int:
    """The number of the write of the last shard, or of the last file if there is no shard.

    Others are published by then.
    """
    writes = {n: p.file for n, p in enumerate(points, start=1) if p.action == "write"}
    shards = [n for n, file in writes.items() if f"{file}.receipt" in writes.values()]
    return max(shards or writes)


def broken(work: Path, policy: Path, stage: str, fault: str) -> None:
    """What a forked child does: run a stage untouched, then into a fault, then mended."""
    spies.import_everything()
    spies.compose_once(work / "composed")
    spies.write_no_seconds()
    after, name = STAGES[stage]
    states(work, policy, until=after)
    cause, mend, words = FAULTS[fault]
    do = unprivileged(SCENARIOS[name].do) if fault == "no permission" else SCENARIOS[name].do
    here, output, log = work / "here", work / "output", work / "log"
    runs = here / "runs"

    def begin() -> None:
        unmount(runs)
        lay_out(here, work / "states" / after, policy)
        if fault in ON_A_DISK_OF_ITS_OWN:
            kept = here / "kept"
            runs.rename(kept)
            assert can_mount(runs)
            shutil.copytree(kept, runs, dirs_exist_ok=True)
            shutil.rmtree(kept)
        for path in (output, log):
            path.write_text("")
            path.chmod(0o666)

    try:
        begin()
        assert spies.forked(lambda: do(here), output=output, at=spies.recorded(log)) == 0
        expected, number = read_payload(runs), in_the_middle(spies.passed(log))
        begin()

        def at(passed: int, point: Point) -> None:
            if passed == number:
                cause(runs)

        code = spies.forked(lambda: do(here), output=output, at=at)
        said = output.read_text()
        assert code == 1, said
        assert "Traceback" not in said, said
        errors = [line for line in said.splitlines() if line.startswith(("error: ", "failed: "))]
        assert len(errors) == 1 or stage == "sweep", said  # there each arm may have a line
        assert errors and all(word in line for line in errors for word in words), said
        before = {n: b for n, b in read_payload(runs).items() if n != "ballast"}
        shards = {name for name in before if name in expected and name.endswith(".parquet")}
        assert all(before[name] == expected[name] for name in shards)
        mend(runs)
        output.write_text("")
        assert spies.forked(lambda: do(here), output=output) == 0, output.read_text()
        found = read_payload(runs)
        assert found.keys() == expected.keys()
        assert {n for n in found if found[n] != expected[n]} == set()
    finally:
        unmount(runs)


@pytest.mark.campaign
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_meets_a_fault_half_way_says_so_and_goes_on_once_it_is_mended(
    stage: str, fault: str, tmp_path: Path, random_policy: Path
) -> None:
    if fault == "no permission":
        if stage in WITH_GRADERS and is_root() and not may_start_python():
            pytest.skip("graders are processes, and nobody but root may start Python here")
        for place in (tmp_path, *tmp_path.parents[:2]):
            place.chmod(0o755)  # nobody must get here, and pytest's directories are root's alone
    elif fault in ON_A_DISK_OF_ITS_OWN:
        if not can_mount(tmp_path / "probe"):
            pytest.skip("only root on Linux may mount a file system that is filled or read-only")
        unmount(tmp_path / "probe")
    (tmp_path / "work").mkdir()
    assert kills.run(broken, tmp_path / "work", random_policy, stage, fault) == 0


def out_of_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def a_defect() -> None:
    raise RuntimeError("engine core died\nwith a long story")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


ENDS: dict[str, tuple[Callable[[], None], int, tuple[str, ...]]] = {
    "out of memory": (out_of_memory, 1, ("out of memory", "lower engine.max_sequences")),
    "an error": (a_defect, 1, ("engine core died", "the same command goes on")),
    "killed": (killed, -signal.SIGKILL, ()),
}


def engine_that_dies(work: Path, policy: Path, stage: str, end: str) -> None:
    from asymreinforce.engines.transformers_engine import TransformersEngine

    spies.import_everything()
    spies.compose_once(work / "composed")
    after, name = STAGES[stage]
    states(work, policy, until=after)
    here, output = work / "here", work / "output"
    how, wanted, words = ENDS[end]
    do = SCENARIOS[name].do

    def dying() -> int:
        sample, calls = TransformersEngine._sample, []

        def failing(self: Any, *arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == 2:
                how()
            return sample(self, *arguments)

        TransformersEngine._sample = failing  # type: ignore[assignment, method-assign]
        return do(here)

    lay_out(here, work / "states" / after, policy)
    assert spies.forked(lambda: do(here), output=output) == 0, output.read_text()
    expected = read_payload(here)
    lay_out(here, work / "states" / after, policy)
    output.write_text("")
    assert spies.forked(dying, output=output) == wanted, output.read_text()
    said = output.read_text()
    assert "Traceback" not in said, said
    assert all(word in said for word in words), said
    stores = [Store.open(p.parent) for p in here.rglob("plan.json")]
    assert any(
        s.planned and not s.is_complete() and len(s.missing()) < len(s.planned) for s in stores
    )
    assert spies.forked(lambda: do(here), output=output) == 0, output.read_text()
    assert read_payload(here) == expected


@pytest.mark.campaign
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("stage", ["generate", "evaluate"])
def test_an_engine_that_dies_in_the_middle_of_a_batch_costs_that_batch(
    stage: str, end: str, tmp_path: Path, random_policy: Path
) -> None:
    assert kills.run(engine_that_dies, tmp_path, random_policy, stage, end) == 0


SLOW_S = 0.05


def slowly(work: Path, policy: Path) -> None:
    """Generate and score with renames that take their time, while another process reads."""
    spies.import_everything()
    spies.compose_once(work / "composed")
    states(work, policy, until="prepared")
    here, output = work / "here", work / "output"

    def at(passed: int, point: Point) -> None:
        if point.action in ("rename", "published"):
            time.sleep(SLOW_S)

    payloads = []
    for slow in (False, True):
        lay_out(here, work / "states" / "prepared", policy)
        reader = os.fork() if slow else 0
        if slow and not reader:
            os._exit(0 if watched(here / "runs" / "cups") else 1)
        for stage in ("generate", "score"):
            code = spies.forked(
                functools.partial(command(stage), here),
                output=output,
                at=at if slow else None,
            )
            assert code == 0, output.read_text()
        if slow:
            assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == 0
        payloads.append(read_payload(here))
    assert payloads[0] == payloads[1]


def watched(experiment: Path) -> bool:
    """Read all the while, until the verdicts are complete: nothing is ever there by half."""
    seen, deadline = set(), time.monotonic() + 120
    while time.monotonic() < deadline:
        for plan in [
            *experiment.glob("rollouts/*/plan.json"),
            *experiment.glob("verdicts/*/plan.json"),
        ]:
            store = Store.open(plan.parent)
            contract = contracts.ROLLOUTS if "rollouts" in plan.parts else contracts.VERDICTS
            for name in store.planned:
                if store.receipt(name):
                    contracts.read_table(store.path(name), contract)
                    seen.add((contract.name, name))
            if store.is_complete() and contract is contracts.VERDICTS:
                return len(seen) >= 4
        time.sleep(0.01)
    return False


@pytest.mark.campaign
def test_on_a_file_system_that_renames_slowly_a_reader_sees_whole_files_alone(
    tmp_path: Path, random_policy: Path
) -> None:
    assert kills.run(slowly, tmp_path, random_policy) == 0
