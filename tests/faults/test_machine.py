"""In the middle of a stage: no space, permission lost, renames slow, the engine dead.

Each stage publishes half of what it has to, then meets the fault. It ends with one message and no
file half-written; once the fault is mended, the same command gives the payload of an untouched run.
"""

import ctypes
import errno
import functools
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data import contracts, files
from asymreinforce.data.store import Store
from tests import killing, made
from tests.faults import spying
from tests.faults.commands import SCENARIOS, Do, command, lay_out
from tests.faults.spying import Point

STAGES = {
    "generate": ("prepared", "generate"),
    "score": ("generate", "score"),
    "train": ("score", "train"),
    "evaluate": ("train", "evaluate"),
    "sweep": ("score", "sweep, together"),
    "report": ("evaluate", "report"),
}
WITH_GRADERS = ("score", "evaluate", "sweep")
NOBODY = 65534
Fault = Callable[[Path], None]


def is_root() -> bool:
    return os.geteuid() == 0


def may_start_python() -> bool:
    """Tell whether a user without privileges may start a process of this interpreter."""
    try:
        subprocess.run([sys.executable, "-c", ""], user=NOBODY, group=NOBODY, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def can_mount(place: Path) -> bool:
    """Put a file system of its own, of 4 MiB, at a place, if this process may."""
    place.mkdir(parents=True, exist_ok=True)
    call = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    try:
        return not subprocess.run(call, capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


def unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)


def fill(runs: Path) -> None:
    """Use the space up to the last byte."""
    with (runs / "ballast").open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue


def make_room(runs: Path) -> None:
    (runs / "ballast").unlink()


def remount(runs: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(runs)], check=True)


def forbid(runs: Path) -> None:
    """Take the right to write from every directory, and from this process root's privilege."""
    for directory in [runs, *(path for path in runs.rglob("*") if path.is_dir())]:
        directory.chmod(0o555)


def allow(runs: Path) -> None:
    for directory in [runs, *(path for path in runs.rglob("*") if path.is_dir())]:
        directory.chmod(0o755)


def use_up_the_quota(runs: Path) -> None:
    """Refuse every write from now on, as a file system does whose user is over a quota."""

    def failpoint(name: str) -> None:
        if name.startswith("write "):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    files.pass_failpoint = failpoint
    failpoint("write ")


def allow_small_files_alone(runs: Path) -> None:
    """Let this process write no file much larger than what it has printed."""
    most = os.fstat(2).st_size + 1_500
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def mended_by_the_end_of_the_process(runs: Path) -> None:
    pass


FAULTS: dict[str, tuple[Fault, Fault, tuple[str, ...]]] = {
    "the disk is full": (fill, make_room, ("the disk is full", "free some space")),
    "read-only": (
        lambda runs: remount(runs, "ro"),
        lambda runs: remount(runs, "rw"),
        ("cannot be written", "set runs_dir"),
    ),
    "no permission": (forbid, allow, ("cannot be written", "set runs_dir")),
    "quota": (
        use_up_the_quota,
        mended_by_the_end_of_the_process,
        ("the quota of this disk is used up", "free some space"),
    ),
    "a file too large": (
        allow_small_files_alone,
        mended_by_the_end_of_the_process,
        ("larger than this system allows", "raise the limit ('ulimit -f')"),
    ),
}
ON_A_DISK_OF_ITS_OWN = ("the disk is full", "read-only")


def unprivileged(do: Do) -> Do:
    """Do without root's right to ignore modes, as the owner of the directory."""

    def as_nobody(work: Path) -> int:
        if is_root():
            (work / "tmp").mkdir(exist_ok=True)  # nobody may have no right to the machine's own
            os.environ["TMPDIR"], tempfile.tempdir = str(work / "tmp"), None
            for path in [work, *work.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
            read_everything()
        return do(work)

    return as_nobody


def read_everything() -> None:
    """Let this process read what only root may, if it was root: modules may lie there.

    Linux keeps the capabilities of a root that changes its effective user, but out of effect.
    """

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    class Sets(ctypes.Structure):
        _fields_ = tuple(
            (name, ctypes.c_uint32) for name in ("effective", "permitted", "inherited")
        )

    header, sets = Header(0x20080522, 0), (Sets * 2)()
    libc = ctypes.CDLL(None)
    libc.capget(ctypes.byref(header), sets)
    sets[0].effective = 1 << 2  # CAP_DAC_READ_SEARCH; where it is withheld nothing changes
    libc.capset(ctypes.byref(header), sets)


def in_the_middle(points: list[Point]) -> int:
    """The number of the write of the last shard, or of the last file if there is no shard.

    Others are published by then.
    """
    writes = {n: p.file for n, p in enumerate(points, start=1) if p.action == "write"}
    shards = [n for n, file in writes.items() if f"{file}.receipt" in writes.values()]
    return max(shards or writes)


def states(work: Path, policy: Path, *, until: str) -> None:
    """Make every state up to that one, by untouched runs."""
    for name in ("prepared", "generate", "score", "train", "evaluate"):
        scenario = SCENARIOS[name]
        lay_out(work / "here", work / "states" / scenario.after if scenario.after else None, policy)
        code = spying.forked(lambda s=scenario: s.do(work / "here"), output=work / "output")  # type: ignore[misc]
        assert code == 0, (work / "output").read_text()
        lay_out(work / "states" / name, work / "here", policy)
        if name == until:
            return


def broken(work: Path, policy: Path, stage: str, fault: str) -> None:
    """What a forked child does: run a stage untouched, then into a fault, then mended."""
    spying.import_everything()
    spying.compose_once(work / "composed")
    spying.write_no_seconds()
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
        assert spying.forked(lambda: do(here), output=output, at=spying.recorded(log)) == 0
        expected, number = made.payload(runs), in_the_middle(spying.passed(log))
        begin()

        def at(passed: int, point: Point) -> None:
            if passed == number:
                cause(runs)

        code = spying.forked(lambda: do(here), output=output, at=at)
        said = output.read_text()
        assert code == 1, said
        assert "Traceback" not in said, said
        errors = [line for line in said.splitlines() if line.startswith(("error: ", "failed: "))]
        assert len(errors) == 1 or stage == "sweep", said  # there each arm may have a line
        assert errors and all(word in line for line in errors for word in words), said
        before = {n: b for n, b in made.payload(runs).items() if n != "ballast"}
        shards = {name for name in before if name in expected and name.endswith(".parquet")}
        assert all(before[name] == expected[name] for name in shards)
        mend(runs)
        output.write_text("")
        assert spying.forked(lambda: do(here), output=output) == 0, output.read_text()
        found = made.payload(runs)
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
    assert killing.run(broken, tmp_path / "work", random_policy, stage, fault) == 0


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

    spying.import_everything()
    spying.compose_once(work / "composed")
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
    assert spying.forked(lambda: do(here), output=output) == 0, output.read_text()
    expected = made.payload(here)
    lay_out(here, work / "states" / after, policy)
    output.write_text("")
    assert spying.forked(dying, output=output) == wanted, output.read_text()
    said = output.read_text()
    assert "Traceback" not in said, said
    assert all(word in said for word in words), said
    stores = [Store.open(p.parent) for p in here.rglob("plan.json")]
    assert any(
        s.planned and not s.is_complete() and len(s.missing()) < len(s.planned) for s in stores
    )
    assert spying.forked(lambda: do(here), output=output) == 0, output.read_text()
    assert made.payload(here) == expected


@pytest.mark.campaign
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("stage", ["generate", "evaluate"])
def test_an_engine_that_dies_in_the_middle_of_a_batch_costs_that_batch(
    stage: str, end: str, tmp_path: Path, random_policy: Path
) -> None:
    assert killing.run(engine_that_dies, tmp_path, random_policy, stage, end) == 0


SLOW_S = 0.05


def slowly(work: Path, policy: Path) -> None:
    """Generate and score with renames that take their time, while another process reads."""
    spying.import_everything()
    spying.compose_once(work / "composed")
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
            code = spying.forked(
                functools.partial(command(stage), here),
                output=output,
                at=at if slow else None,
            )
            assert code == 0, output.read_text()
        if slow:
            assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == 0
        payloads.append(made.payload(here))
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
    assert killing.run(slowly, tmp_path, random_policy) == 0
