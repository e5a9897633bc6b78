"""Sweeps, rounds and evaluations on eight made-up devices: how many processes at once, on which."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config import ExperimentConfig
from asymreinforce.engines.protocol import Engine
from asymreinforce.experiment import evaluation, rounds, side_by_side, slots
from asymreinforce.experiment.children import ChildOutcome
from asymreinforce.experiment.evaluation import evaluation_slots
from asymreinforce.experiment.running import Engines
from asymreinforce.experiment.slots import ON_CPU
from tests.fixtures import slot_work
from tests.fixtures.commands import published, refused, tiny
from tests.fixtures.experiments import small_config
from tests.fixtures.slot_work import Seen

ON_CUDA = ("train.device=cuda", "sweep.workers=null")


@pytest.fixture
def eight_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make up a machine of eight devices; return where arms write down what they saw."""
    place = tmp_path / "seen"
    place.mkdir()
    monkeypatch.setattr(slots, "device_count", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(side_by_side, "run_process_arms", slot_work.train)
    monkeypatch.setattr(rounds, "_run_part", slot_work.rounds)
    monkeypatch.setattr(evaluation, "_evaluate_part", slot_work.evaluate)
    monkeypatch.setenv("PLACE_OF_TESTS", str(place))
    return place


def seen_in(place: Path) -> list[Seen]:
    return [Seen(*json.loads(path.read_text())) for path in sorted(place.glob("*.json"))]


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
    seen = seen_in(eight_devices)
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


def test_a_machine_without_the_devices_sums_up_what_is_complete(
    swept: Path, eight_devices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arms that were trained elsewhere, by more processes than this machine has devices."""
    settings = ("baseline=-0.1,0.1", "seed=0,1", "sweep.report=false")
    for path in swept.glob("cups/train/*/config.json"):
        assert json.loads(path.read_text())["train"]["device"] == "cpu"
    monkeypatch.setattr(slots, "trains_on_cuda", lambda config: True)
    outcome = tiny("sweep", swept, *settings, "train.processes=9")
    assert outcome.code == 0, outcome.err
    assert "4 complete already" in outcome.err


def test_arms_in_rounds_share_slots_that_hold_engine_and_ranks(
    swept: Path, eight_devices: Path
) -> None:
    settings = ("refresh_every=2", "baseline=-0.4,-0.2,0.2", "seed=7", *ON_CUDA)
    outcome = tiny("run", swept, *settings, "train.processes=2", "+engine.tensor_parallel_size=3")
    assert outcome.err.count("failed: arm ") == 3, outcome.err  # nothing was trained
    parts = {
        path.stem: seen
        for path, seen in zip(
            sorted(eight_devices.glob("*.json")), seen_in(eight_devices), strict=True
        )
    }
    assert {name: seen.devices for name, seen in parts.items()} == {
        "-0.4,0.2": ["0", "1", "2"],
        "-0.2": ["3", "4", "5"],
    }


def test_checkpoints_are_evaluated_by_an_engine_in_each_slot(
    swept: Path, eight_devices: Path
) -> None:
    experiment = swept / "cups"
    before = (experiment / "summary.json").read_bytes()
    shutil.rmtree(experiment / "evaluations")
    outcome = tiny("evaluate", swept, "sweep.workers=3")
    assert outcome.code == 0, outcome.err
    assert sorted(one.devices for one in seen_in(eight_devices)) == [["0"], ["1"], ["2"]]
    assert (experiment / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("devices", "settings", "checkpoints", "expected"),
    [
        (8, {}, 40, 8),
        (8, {}, 5, 5),
        (8, {"engine__tensor_parallel_size": 4}, 40, 2),
        (8, {"sweep__workers": 3}, 40, 3),
        (0, {"sweep__workers": 4}, 23, 1),  # on the CPU an engine's start takes every core
        (0, {"sweep__workers": 4}, 75, 3),
    ],
)
def test_more_processes_evaluate_where_that_is_sooner_done(
    devices: int,
    settings: dict[str, Any],
    checkpoints: int,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots, "device_count", lambda: devices)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    config = small_config(Path("runs"), policy="owner/model", **settings)
    found = evaluation_slots(config, checkpoints=checkpoints)
    assert len(found) == expected
    assert all((slot == ON_CPU) == (devices == 0) for slot in found)


def test_checkpoints_of_many_targets_are_dealt_out_evenly() -> None:
    """Two arms' policies of three checkpoints each, say, on four devices."""
    config = small_config(Path("runs"), policy="owner/model")
    names = ("a", "b", "c"), ("d", "e", "f"), ("g",)
    targets = [
        evaluation.EvaluationTarget(config, "held_out", {name: Path(name) for name in group})
        for group in names
    ]
    parts = evaluation._split_targets(targets, 4)
    found = [[name for target in part for name in target.checkpoints] for part in parts]
    assert found == [["a", "e"], ["b", "f"], ["c", "g"], ["d"]]


def test_the_engine_of_this_process_is_closed_before_others_take_its_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Open(Engines):
        is_closed = False

        def of(self, config: ExperimentConfig) -> Engine:
            raise AssertionError("it is to be closed")

        def close(self) -> None:
            self.is_closed = True

    def work(*given: Any, **named: Any) -> list[ChildOutcome]:
        assert engines.is_closed
        return []

    engines = Open()
    monkeypatch.setattr(evaluation, "work_in_slots", work)
    evaluation._share_out([], slots=[("0",), ("1",)], engines=engines)
