"""Sweeps, rounds and evaluations on eight made-up devices: how many processes at once, on which."""

import itertools
import json
from pathlib import Path

import pytest

from asymreinforce.experiment import lots, slots
from tests.cli.commands import published, refused, tiny
from tests.experiment import slot_work
from tests.experiment.slot_work import Seen

ON_CUDA = ("train.device=cuda", "sweep.workers=null")


@pytest.fixture
def eight_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make up a machine of eight devices; return where arms write down what they saw."""
    place = tmp_path / "seen"
    place.mkdir()
    monkeypatch.setattr(slots, "device_count", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(lots, "run_one", slot_work.train)
    monkeypatch.setenv("PLACE_OF_TESTS", str(place))
    return place


def at_once(seen: list[Seen]) -> int:
    """The most arms that were trained at the same time."""
    return max(sum(other.begun <= one.begun < other.ended for other in seen) for one in seen)


def overlap(one: Seen, other: Seen) -> bool:
    return one.begun < other.ended and other.begun < one.ended


@pytest.mark.parametrize(("processes", "expected"), [(1, 8), (8, 1)])
def test_the_papers_24_arms_run_at_once_as_devices_allow_each_on_its_own(
    processes: int,
    expected: int,
    swept: Path,
    eight_devices: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AT_ONCE", str(expected))
    outcome = tiny("sweep", swept, *ON_CUDA, f"train.processes={processes}")
    assert outcome.code == 1  # nothing was trained
    assert "sweep: 24 arms, 0 complete already" in outcome.err
    assert outcome.err.count("signal 9 (Killed)") == 1
    assert outcome.err.count("failed: arm ") == 24
    seen = [Seen(*json.loads(path.read_text())) for path in eight_devices.glob("*.json")]
    assert len(seen) == 23  # and the one that died, whose slot went to others
    assert at_once(seen) == expected
    assert all(len(one.devices) == processes for one in seen)
    assert {device for one in seen for device in one.devices} == set("01234567")
    for one, other in itertools.combinations(seen, 2):
        assert one.process != other.process
        if overlap(one, other):
            assert not set(one.devices) & set(other.devices)


def test_arms_of_more_processes_than_devices_are_refused_before_anything_is_made(
    tmp_path: Path, eight_devices: Path
) -> None:
    for command in ("sweep", "run"):
        outcome = tiny(command, tmp_path / "runs", *ON_CUDA, "train.processes=9")
        refused(outcome, "train.processes=9 needs 9 CUDA devices", "use train.processes=8")
    assert published(tmp_path / "runs") == {}
