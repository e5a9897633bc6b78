"""A stage directory: identity, atomic shards, resumption, and what is told when it is damaged."""

import os
import time
from pathlib import Path

import pytest

from asymreinforce.data import files
from asymreinforce.data.store import Store, differing_keys, hash_of
from asymreinforce.errors import ConfigError, InputError, StorageError
from tests.fixtures import kills
from tests.fixtures.stored_files import read_payload, read_stamps

IDENTITY = {"stage": "made", "lr": 0.1, "nested": {"seed": 0}}
SHARDS = ["a.bin", "sub/b.bin", "c"]


def fill(parent: Path) -> None:
    """Write three shards, one of them in a folder and one a directory, and close."""
    store = Store(parent, IDENTITY)
    store.plan(SHARDS)
    for name in store.missing():
        store.publish(name, writer(name))
    store.record({"run": 1})
    store.close({"shards": len(SHARDS)})


def writer(name: str):  # type: ignore[no-untyped-def]
    def write(path: Path) -> None:
        if name == "c":
            path.mkdir()
            (path / "inside.bin").write_bytes(b"c" * 1000)
        else:
            path.write_bytes(name.encode() * 1000)

    return write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    fill(tmp_path)
    return Store(tmp_path, IDENTITY)


def test_equal_identities_have_equal_hashes_whatever_the_order_of_keys() -> None:
    assert hash_of({"a": 1, "b": 2.5}) == hash_of({"b": 2.5, "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2})


def test_a_complete_directory_is_left_alone(store: Store, tmp_path: Path) -> None:
    before = read_stamps(store.directory)
    assert store.is_complete()
    fill(tmp_path)
    assert read_stamps(store.directory) == before


@pytest.mark.parametrize("name", SHARDS)
def test_a_damaged_shard_alone_is_made_again(store: Store, tmp_path: Path, name: str) -> None:
    untouched, before = read_payload(store.directory), read_stamps(store.directory)
    path = store.directory / name
    target = path / "inside.bin" if path.is_dir() else path
    content = bytearray(target.read_bytes())
    content[500] ^= 1
    target.write_bytes(content)
    assert store.missing() == [name] and not store.is_complete()
    with pytest.raises(InputError, match="damaged"):
        store.path(name)
    fill(tmp_path)
    assert read_payload(store.directory) == untouched
    after = read_stamps(store.directory)
    changed = {key for key in before if before[key] != after[key]}
    assert {key.removesuffix(".receipt").split("/inside")[0] for key in changed} == {name}


def test_killed_at_every_point_the_rerun_gives_the_same_payload(tmp_path: Path) -> None:
    points = kills.failpoints(tmp_path / "points", fill, tmp_path / "untouched")
    assert len(points) == 4 * (1 + 2 * 3 + 1 + 1)  # plan, shards and receipts, provenance, manifest
    untouched = read_payload(tmp_path / "untouched")
    for number in range(1, len(points) + 1):
        parent = tmp_path / f"killed-{number}"
        kills.kill_at(number, fill, parent)
        assert kills.run(fill, parent) == 0
        assert read_payload(parent) == untouched, points[number - 1]


def test_a_plan_can_grow_and_what_was_there_stays(store: Store) -> None:
    before = read_stamps(store.directory)
    store.plan([*SHARDS, "d.bin"])
    assert not store.is_complete() and store.missing() == ["d.bin"]
    store.publish("d.bin", writer("d.bin"))
    store.close()
    after = read_stamps(store.directory)
    assert store.is_complete()
    assert all(after[name] == before[name] for name in before if name.startswith(("a", "s", "c")))


def test_a_plan_that_grew_is_the_plan_that_was_made_at_once(tmp_path: Path) -> None:
    parts, whole = Store(tmp_path / "parts", IDENTITY), Store(tmp_path / "whole", IDENTITY)
    parts.plan(["mu", "b"])
    parts.plan(["c"])
    assert parts.planned == ("mu", "b", "c")
    for store in (parts, whole):
        store.plan(["mu", "a", "b", "c"])
    assert read_payload(parts.directory) == read_payload(whole.directory)


def test_the_fingerprint_of_some_shards_does_not_change_when_more_are_added(store: Store) -> None:
    before = store.fingerprint(SHARDS)
    store.plan(["d.bin"])
    store.publish("d.bin", writer("d.bin"))
    assert store.fingerprint(SHARDS) == before != store.fingerprint()


def test_a_pinned_directory_of_another_identity_names_the_differing_keys(store: Store) -> None:
    other = {"stage": "made", "lr": 0.2, "nested": {"seed": 1}}
    with pytest.raises(ConfigError, match=r"lr: 0\.2 is not 0\.1.*nested\.seed: 1 is not 0"):
        Store(store.directory.parent, other, pinned=store.directory)


def test_differing_keys_are_dotted_and_show_both_values() -> None:
    assert differing_keys({"a": {"b": 1}}, {"a": {"b": 2}}) == ["a.b: 1 is not 2"]
    assert differing_keys({"a": 1}, {}) == ["a: 1 is not None"]


def test_a_directory_without_a_plan_is_not_a_stage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has no plan\.json"):
        Store.open(tmp_path)


def test_a_plan_changed_by_hand_is_refused(store: Store) -> None:
    path = store.directory / "plan.json"
    path.write_text(path.read_text().replace("0.1", "0.3"))
    with pytest.raises(InputError, match="changed by hand"):
        Store.open(store.directory)


@pytest.mark.parametrize("name", ["plan.json", "manifest.json", "a.bin.receipt"])
def test_a_damaged_json_never_ends_in_a_traceback(store: Store, name: str) -> None:
    (store.directory / name).write_text('{"identity": ')
    try:
        Store.open(store.directory).is_complete()
    except InputError as error:
        assert name in str(error)
    else:
        assert not Store.open(store.directory).is_complete()


def test_a_disk_that_is_full_is_said_to_be_full_and_nothing_is_left(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="the disk is full; free some space"):
        files.publish_path(tmp_path / "x", write)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_directory_is_needed_is_said(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="a file stands where a directory is needed"):
        files.make_directory(tmp_path / "runs" / "x")


def test_what_a_dead_process_left_half_written_is_removed(tmp_path: Path) -> None:
    here = files.process_namespace()[:8]
    dead, alive = tmp_path / f".tmp-999999999-{here}-x", tmp_path / f".tmp-1-{here}-x"
    elsewhere, long_ago = tmp_path / ".tmp-999999999-01234567-x", tmp_path / ".tmp-1-01234567-y"
    for path in (dead, alive, elsewhere, long_ago):
        path.write_text("")
    os.utime(long_ago, (0, time.time() - 2 * files.ABANDONED_S))
    files.remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere])
