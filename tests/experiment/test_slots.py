"""Which devices a machine shows, and the slots that they are cut into."""

import os
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.errors import ConfigError
from asymreinforce.experiment import slots
from asymreinforce.experiment.slots import ON_CPU, cut_slots, shown_devices, slots_of
from tests.fixtures.experiments import small_config

EIGHT = [str(number) for number in range(8)]


def shows(count: int, monkeypatch: pytest.MonkeyPatch, named: str | None = None) -> None:
    """Make up a machine: what CUDA counts, and what CUDA_VISIBLE_DEVICES names."""
    monkeypatch.setattr(slots, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)


@pytest.mark.parametrize(
    ("devices", "each", "expected"),
    [
        (8, 1, [("0",), ("1",), ("2",), ("3",), ("4",), ("5",), ("6",), ("7",)]),
        (8, 8, [tuple(EIGHT)]),
        (8, 3, [("0", "1", "2"), ("3", "4", "5")]),
        (1, 1, [("0",)]),
    ],
)
def test_devices_are_cut_into_as_many_slots_as_there_are(
    devices: int, each: int, expected: list[tuple[str, ...]]
) -> None:
    assert cut_slots(EIGHT[:devices], each=each, setting="train.processes") == expected


@pytest.mark.parametrize(("devices", "fix"), [(4, "train.processes=4"), (0, "train.device=cpu")])
def test_more_processes_than_devices_are_refused(devices: int, fix: str) -> None:
    with pytest.raises(ConfigError, match=f"processes=8 needs 8 CUDA.*shows {devices}; use {fix}"):
        cut_slots(EIGHT[:devices], each=8, setting="train.processes")


@pytest.mark.parametrize(
    ("count", "named", "expected"),
    [
        (2, None, ["0", "1"]),
        (0, None, []),
        (0, "", []),
        (0, "-1", []),
        (2, "3, 5", ["3", "5"]),
        (1, "3,-1,5", ["3"]),  # CUDA stops at the first that it does not know
        (2, "GPU-8ab,GPU-17c", ["GPU-8ab", "GPU-17c"]),
        (1, "MIG-8ab,MIG-17c", ["MIG-8ab", "MIG-17c"]),  # a process sees one, whichever it is
        (0, "MIG-8ab", []),
    ],
)
def test_devices_have_the_names_by_which_a_child_is_shown_them(
    count: int, named: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shows(count, monkeypatch, named)
    assert shown_devices() == expected


CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("work", "settings", "count", "each"),
    [
        ("train", {}, CORES, 0),  # train.device=cpu on a machine with devices
        ("train", {"sweep__workers": 3}, 3, 0),
        ("train", {"train__device": "cuda"}, 8, 1),
        ("train", {"train__device": "cuda", "sweep__workers": 3}, 3, 1),
        ("train", {"train__device": "cuda", "train__processes": 3}, 2, 3),
        ("train", {"train__device": "cuda", "train__processes": 8}, 1, 8),
        ("train", {"train__device": "cuda", "sweep__workers": 12}, 12, 1),  # four share a device
        ("sample", {}, 8, 1),
        ("sample", {"sweep__workers": 12}, 12, 1),
        ("sample", {"sweep__workers": 12, "engine__name": "vllm"}, 8, 1),  # which takes all memory
        ("sample", {"engine__tensor_parallel_size": 4, "sweep__workers": 3}, 3, 4),
        ("train sample", {}, 8, 1),
        ("train sample", {"train__device": "cuda", "train__processes": 4}, 2, 4),
    ],
)
def test_work_on_devices_has_slots_of_them_and_work_on_the_cpu_one_a_core(
    work: str, settings: dict[str, Any], count: int, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows(8, monkeypatch)
    arm = small_config(Path("runs"), policy="owner/model", **settings)
    found = slots_of([arm] * 24, **dict.fromkeys(work.split(), True))
    assert [len(slot) for slot in found] == [each] * count


def test_arms_on_several_nodes_run_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shows(8, monkeypatch)
    spread = {"train__device": "cuda", "train__nodes": 2, "train__rendezvous": "node0:29500"}
    arm = small_config(Path("runs"), policy="owner/model", train__processes=2, **spread)
    assert slots_of([arm], train=True) == [("0", "1")]


def test_a_machine_without_devices_samples_on_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    shows(0, monkeypatch)
    arm = small_config(Path("runs"), policy="owner/model")
    assert slots_of([arm], sample=True) == [ON_CPU] * CORES
    with pytest.raises(ConfigError, match=r"this machine shows (0|no CUDA device)"):
        slots_of([small_config(Path("runs"), policy="x", train__device="cuda")], train=True)
