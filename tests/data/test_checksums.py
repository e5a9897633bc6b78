"""Remembered checksums: nothing is read twice, and nothing that changed is missed."""

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asymreinforce.data import checksums, files
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.model.fingerprint import checkpoint_fingerprint, require_unchanged
from tests.fixtures.stored_files import read_stamps

TICK_S = 0.05
"""Longer than a tick of the clock by which Linux stamps files."""


class Reads:
    """What was read to make a checksum, by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.names: list[str] = []
        real = files.sha256

        def sha256(path: Path) -> str:
            self.names.append(path.name)
            return real(path)

        monkeypatch.setattr(files, "sha256", sha256)

    def of(self, do: Callable[[], object]) -> list[str]:
        self.names.clear()
        do()
        return self.names[:]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Also forgets what this process has read: each test begins as a new one."""
    another_process(monkeypatch)
    return Reads(monkeypatch)


def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_READ", {})
    monkeypatch.setattr(checksums, "_MEMORIES", {})


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system whose clock is exact: what changed a moment ago is settled."""
    monkeypatch.setattr(checksums, "SETTLED_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path, {"stage": "made"})
    found.plan(["a.bin", "c"])
    found.publish("a.bin", lambda path: files.publish_bytes(path, b"a" * 1000))

    def folder(path: Path) -> None:
        (path / "inside").mkdir(parents=True)
        (path / "inside" / "b.bin").write_bytes(b"b" * 1000)

    found.publish("c", folder)
    found.close()
    time.sleep(TICK_S)
    return found


def flip(path: Path, at: int = 500) -> None:
    """Change a byte in place: the same file, of the same size."""
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))


def test_what_did_not_change_is_read_once_by_all_processes_together(
    store: Store, reads: Reads, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reads.of(store.is_complete) == ["a.bin", "c"]
    assert reads.of(store.is_complete) == []
    another_process(monkeypatch)
    assert reads.of(store.is_complete) == []
    assert Store.open(store.directory).missing() == []


def test_whoever_uses_bytes_has_them_read_once_in_every_process(
    store: Store, reads: Reads, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.is_complete()
    another_process(monkeypatch)
    assert reads.of(lambda: store.path("c")) == ["c"]
    assert reads.of(lambda: [store.path("c"), store.verified("c"), store.is_valid("c")]) == []
    assert reads.of(lambda: store.verified("a.bin")) == []


@pytest.mark.parametrize("name", ["a.bin", "c"])
@pytest.mark.parametrize("disguised", [False, True])
def test_a_changed_byte_is_found_also_where_the_time_of_change_was_put_back(
    store: Store, settled: None, name: str, disguised: bool
) -> None:
    assert store.is_complete()
    path = store.directory / ("a.bin" if name == "a.bin" else "c/inside/b.bin")
    stat = path.stat()
    flip(path)
    if disguised:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert store.missing() == [name]
    with pytest.raises(InputError, match="damaged"):
        store.path(name)


def test_a_file_that_came_or_went_or_moved_in_a_folder_is_found(
    store: Store, settled: None
) -> None:
    place = store.directory / "c"
    assert store.is_valid("c")
    (place / "more").write_bytes(b"")
    assert not store.is_valid("c")
    (place / "more").unlink()
    assert store.is_valid("c")
    (place / "inside").rename(place / "outside")
    assert not store.is_valid("c")


def test_bytes_lost_without_a_trace_are_found_when_they_are_used_and_made_again(
    store: Store, reads: Reads, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a disk: no time of change tells of it, so every stamp stays."""
    assert store.is_complete()
    kept = {path: path.stat() for path in store.directory.rglob("*")}
    real = Path.stat
    flip(store.directory / "a.bin")
    monkeypatch.setattr(Path, "stat", lambda path, **more: kept.get(path) or real(path, **more))
    another_process(monkeypatch)
    assert store.is_valid("a.bin")
    with pytest.raises(InputError, match="damaged"):
        store.path("a.bin")
    another_process(monkeypatch)
    assert store.missing() == ["a.bin"]


def test_what_changed_a_moment_ago_is_not_remembered(store: Store, reads: Reads) -> None:
    """A second change within a tick of the file system's clock would leave no trace."""
    assert reads.of(store.is_complete) == reads.of(store.is_complete) == ["a.bin", "c"]
    assert not (store.directory / checksums.SUMS).exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[:-20],
        lambda lines: lines.replace(b"sha256 a.bin", b"sha256 b.bin"),
        lambda lines: bytes(byte ^ 4 for byte in lines),
        lambda lines: b"\n\n" + os.urandom(300),
        lambda lines: lines.replace(b" ", b""),
    ],
)
def test_a_damaged_memory_is_passed_over(
    store: Store,
    reads: Reads,
    settled: None,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[bytes], bytes],
) -> None:
    store.is_complete()
    memory = store.directory / checksums.SUMS
    memory.write_bytes(damage(memory.read_bytes()))
    another_process(monkeypatch)
    assert set(reads.of(store.is_complete)) & {"a.bin", "c"}
    assert store.is_complete()
    another_process(monkeypatch)
    assert reads.of(store.is_complete) == []


def test_a_memory_that_cannot_be_written_is_no_error(
    store: Store, reads: Reads, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store.directory / checksums.SUMS).mkdir()
    assert store.is_complete()
    another_process(monkeypatch)
    assert reads.of(store.is_complete) == ["a.bin", "c"]


def append(path: Path, writer: int) -> None:
    memory = checksums._Memory(path)
    for number in range(200):
        memory.add(f"sha256 {writer}/{number}", "stamp", f"{writer}-{number}")


def test_processes_that_remember_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / checksums.SUMS
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append, args=(path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    memory = checksums._Memory(path)
    for n in range(4):
        for number in range(200):
            assert memory.get(f"sha256 {n}/{number}", "stamp") == f"{n}-{number}"


def test_a_model_from_elsewhere_is_remembered_without_a_trace_beside_it(
    random_policy: Path,
    tmp_path: Path,
    reads: Reads,
    settled: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Path(shutil.copytree(random_policy, tmp_path / "model"))
    time.sleep(TICK_S)
    there = read_stamps(tmp_path)
    name = checkpoint_fingerprint(model)
    another_process(monkeypatch)
    assert reads.of(lambda: checkpoint_fingerprint(model)) == []
    assert "model.safetensors" in reads.of(lambda: require_unchanged(model, named=name))
    assert read_stamps(tmp_path) == there
    flip(model / "model.safetensors")
    with pytest.raises(InputError, match=f"{model}: damaged"):
        require_unchanged(model, named=name)
    assert checkpoint_fingerprint(model) != name
