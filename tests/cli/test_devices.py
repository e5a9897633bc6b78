"""What `auto` means for device and precision, and that it is decided in one place."""

from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.errors import ConfigError
from asymreinforce.model import devices
from asymreinforce.model.devices import Machine, resolve_auto
from asymreinforce.stages.train import arm_store
from tests.fixtures.commands import asymrl, published, refused, tiny
from tests.fixtures.experiments import small_config
from tests.fixtures.scored_sets import write_scored_set

H100, V100, LAPTOP = Machine(True, True), Machine(True, False), Machine(False, False)


def unresolved(device: str, precision: str) -> Any:
    given = {"train__device": device, "train__precision": precision}
    return small_config(Path("runs"), policy="owner/model", **given)


@pytest.mark.parametrize(
    ("given", "machine", "meant"),
    [
        (("auto", "auto"), H100, ("cuda", "bfloat16")),
        (("auto", "auto"), V100, ("cuda", "float32")),
        (("auto", "auto"), LAPTOP, ("cpu", "float32")),
        (("auto", "float32"), H100, ("cuda", "float32")),
        (("auto", "bfloat16"), LAPTOP, ("cpu", "bfloat16")),
        (("cpu", "auto"), H100, ("cpu", "float32")),
        (("cuda", "auto"), H100, ("cuda", "bfloat16")),
        (("cuda", "auto"), V100, ("cuda", "float32")),
        (("cuda", "auto"), LAPTOP, ("cuda", "bfloat16")),
    ],
)
def test_auto_is_the_device_that_is_there_and_what_it_computes_in(
    given: tuple[str, str], machine: Machine, meant: tuple[str, str]
) -> None:
    train = resolve_auto(unresolved(*given), lambda: machine).train
    assert (train.device, train.precision) == meant


@pytest.mark.parametrize("given", [("cpu", "float32"), ("cuda", "bfloat16"), ("cpu", "auto")])
def test_a_machine_is_not_asked_for_what_the_settings_say(given: tuple[str, str]) -> None:
    def ask() -> Machine:
        raise AssertionError("asked")

    assert resolve_auto(unresolved(*given), ask).train.device == given[0]


def test_an_arm_has_one_identity_whether_its_device_was_given_or_resolved(
    tmp_path: Path, random_policy: Path
) -> None:
    rollouts = ScoredRollouts(*write_scored_set(tmp_path, prompts=24, samples=4), samples=4)
    given: dict[str, Any] = {"checkpoint": random_policy, "scored": rollouts, "parent": tmp_path}
    explicit = arm_store(unresolved("cuda", "bfloat16"), **given)
    assert arm_store(resolve_auto(unresolved("auto", "auto"), lambda: H100), **given).hash == (
        explicit.hash
    )
    with pytest.raises(ConfigError, match="name no arm"):
        arm_store(unresolved("auto", "float32"), **given)


@pytest.mark.parametrize("computes", [True, False])
def test_a_device_that_emulates_bfloat16_does_not_compute_in_it(
    monkeypatch: pytest.MonkeyPatch, computes: bool
) -> None:
    import torch

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return computes or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert devices.this_machine() == Machine(True, computes)


AUTO = ("train.device=auto", "train.precision=auto")


def test_the_base_says_auto_and_the_embedded_default_says_cpu() -> None:
    printed = asymrl("train", "--cfg", "job").out
    assert "device: cpu" in printed and "precision: float32" in printed
    base = asymrl("train", "~experiment", "--cfg", "job")
    assert "device: auto" in base.out and "precision: auto" in base.out, base.err


def test_the_command_line_resolves_before_an_arm_is_named(made_once: Path) -> None:
    """The arm that was made with cpu and float32 is the one that auto means here."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    outcome = tiny("train", made_once, *AUTO)
    assert outcome.code == 0 and "complete, nothing to do" in outcome.err


def test_a_plan_counts_with_its_own_gpu_and_asks_no_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "this_machine", lambda: 1 / 0)
    monkeypatch.setattr("asymrl.launching.this_machine", lambda: 1 / 0)
    preset = ("experiment=h200_qwen3b", "baseline=-0.1", "seed=0")
    explicit = asymrl("plan", *preset)
    assert explicit.code == 0 and asymrl("plan", *preset, *AUTO) == explicit


@pytest.mark.parametrize("setting", ["train.device=auto", "train.device=cuda"])
def test_a_launcher_on_other_machines_is_not_given_auto(tmp_path: Path, setting: str) -> None:
    outcome = asymrl(
        "sweep",
        f"runs_dir={tmp_path}",
        "hydra/launcher=submitit_slurm",
        "baseline=0",
        setting,
        "train.precision=auto",
    )
    refused(outcome, "hydra/launcher=submitit_slurm", "train.device=cuda", "bfloat16")
    assert published(tmp_path) == {}
