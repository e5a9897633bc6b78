"""A stage directory's lease: who may fill it, and what the dead leave behind."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asymreinforce.data import files, lease
from asymreinforce.errors import HeldError, StorageError
from tests.fixtures import kills

HOLD = """
import sys, time
from pathlib import Path
from asymreinforce.data import lease
try:
    with lease.held(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except lease.HeldError as error:
    print(error, flush=True)
"""


def another(directory: Path) -> "subprocess.Popen[str]":
    """Start a process that holds the lease until its input ends, and is no child of a holder."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def written(directory: Path, **changed: object) -> None:
    """Leave the lease that another would have left."""
    lease.path_of(directory).write_text(json.dumps({**lease._this_process()._asdict(), **changed}))


def test_the_second_process_is_refused_and_told_who_the_first_one_is(tmp_path: Path) -> None:
    first = another(tmp_path / "stage")
    assert said(first) == "held"
    with pytest.raises(HeldError) as refusal, lease.held(tmp_path / "stage"):
        raise AssertionError("two hold it")
    for word in (str(tmp_path / "stage"), f"process {first.pid} on ", "since 20", "delete "):
        assert word in str(refusal.value)
    first.communicate()
    with lease.held(tmp_path / "stage"):
        assert lease.current_holder(tmp_path / "stage") is None  # this process is not another
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_taken_over_at_once(tmp_path: Path) -> None:
    first = another(tmp_path / "stage")
    assert said(first) == "held"
    first.kill()
    first.communicate()
    assert lease.path_of(tmp_path / "stage").exists()
    assert lease.current_holder(tmp_path / "stage") is None
    with lease.held(tmp_path / "stage"):
        assert json.loads(lease.path_of(tmp_path / "stage").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_process_number_that_was_given_again_is_not_the_holder(tmp_path: Path) -> None:
    written(tmp_path / "stage", pid=1, start=-1)
    with lease.held(tmp_path / "stage"):
        pass


def test_another_host_is_believed_until_it_has_not_touched_its_lease_for_long(
    tmp_path: Path,
) -> None:
    written(tmp_path / "stage", host="node7", place="another", pid=99)
    with pytest.raises(HeldError, match="process 99 on node7"), lease.held(tmp_path / "stage"):
        pass
    then = time.time() - 1.1 * lease.STALE_S
    os.utime(lease.path_of(tmp_path / "stage"), (then, then))
    with lease.held(tmp_path / "stage"):
        pass


@pytest.mark.parametrize("content", ["", '{"host": ', "[]", '{"pid": 1}'])
def test_an_unreadable_lease_is_taken_over_after_a_while(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "UNREADABLE_S", 0.1)
    lease.path_of(tmp_path / "stage").write_text(content)
    with lease.held(tmp_path / "stage"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_processes_that_the_holder_started_work_under_its_lease(tmp_path: Path) -> None:
    with lease.held(tmp_path / "stage"):
        child = another(tmp_path / "stage")
        assert said(child) == "held"
        child.communicate()
        assert lease.path_of(tmp_path / "stage").exists()
        with lease.held(tmp_path / "stage"):
            pass
        assert lease.path_of(tmp_path / "stage").exists()


def test_of_many_that_take_over_a_dead_lease_at_once_one_gets_it(tmp_path: Path) -> None:
    for number in range(3):
        directory = tmp_path / str(number)
        written(directory, pid=999999999)
        rivals = [another(directory) for _ in range(6)]
        lines = [said(rival) for rival in rivals]
        for rival in rivals:
            rival.communicate()
        assert lines.count("held") == 1, lines
        assert sum(" works on it; wait" in line for line in lines) == 5
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_over", [False, True])
@pytest.mark.parametrize("is_child", [False, True])
def test_who_lost_the_lease_is_told_so_and_changes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_child: bool, is_over: bool
) -> None:
    """Also a process that works under the lease of its parent, and after the other has ended."""
    monkeypatch.setattr(lease, "TOUCH_EVERY_S", 0.05)
    directory = tmp_path / "stage"
    place = lease.path_of(directory)
    with contextlib.ExitStack() as stack:
        if is_child:
            written(directory, pid=os.getppid(), start=lease._start_time(os.getppid()))
        stack.enter_context(lease.held(directory))
        files.publish_json(files.make_directory(directory) / "a.json", 1)
        (directory / "tree").mkdir()
        written(directory, host="node7", place="another", pid=99)
        before = place.stat().st_mtime_ns
        if is_over:
            place.unlink()
        for change in (
            lambda: files.publish_json(directory / "a.json", 2),
            lambda: files.publish_path(directory / "tree", lambda path: path.mkdir()),
            lambda: files.remove_path(directory / "a.json"),
            lambda: files.remove_path(directory),
        ):
            with pytest.raises(HeldError, match="has lost its lease"):
                change()
        assert sorted(path.name for path in directory.rglob("*")) == ["a.json", "tree"]
        assert files.read_json(directory / "a.json") == 1
        files.publish_json(tmp_path / "beside.json", 1)  # this is nobody's
        time.sleep(0.2)
    assert place.exists() == (not is_over)
    assert is_over or place.stat().st_mtime_ns == before  # it was not kept alive


def test_a_temporary_file_that_the_next_holder_removed_is_told_as_the_lost_lease(
    tmp_path: Path,
) -> None:
    with lease.held(tmp_path / "stage"):
        files.make_directory(tmp_path / "stage")

        def write(temporary: Path) -> None:
            written(tmp_path / "stage", host="node7", place="another", pid=99)

        with pytest.raises(HeldError, match=r"process 99 on node7 .* took it over"):
            files.publish_path(tmp_path / "stage" / "a", write)


def hold(directory: Path) -> None:
    with lease.held(directory):
        pass


def take_over(directory: Path) -> None:
    written(directory, pid=999999999)
    hold(directory)


@pytest.mark.parametrize("function", [hold, take_over])
def test_killed_at_every_point_of_taking_it_the_next_one_gets_it(
    tmp_path: Path, function: object
) -> None:
    assert callable(function)
    points = kills.failpoints(tmp_path / "points", function, tmp_path / "stage")
    assert len(points) >= 2
    (tmp_path / "points").unlink()
    for number in range(1, len(points) + 1):
        kills.kill_at(number, function, tmp_path / "stage")
        with lease.held(tmp_path / "stage"):
            pass
        files.remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == [], points[number - 1]


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with (
        pytest.raises(StorageError, match="a file stands where a directory is needed"),
        lease.held(tmp_path / "runs" / "stage"),
    ):
        pass
