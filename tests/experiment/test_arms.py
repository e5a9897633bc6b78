"""In which settings the arms of an experiment are said to differ."""

from pathlib import Path
from typing import Any

from asymreinforce.data.store import Store
from asymreinforce.experiment.arms import Arm, overrides_of
from tests import made


def arms(directory: Path, *settings: dict[str, Any]) -> list[Arm]:
    return [
        Arm(Store(directory, {"arm": number}), made.config(directory, policy="mu", **chosen))
        for number, chosen in enumerate(settings)
    ]


def differences(directory: Path, *settings: dict[str, Any]) -> list[dict[str, Any]]:
    found = arms(directory, *settings)
    named = overrides_of(found)
    return [named[arm.name] for arm in found]


GRPO = {"algorithm__name": "grpo", "algorithm__clip_low": 0.2, "algorithm__clip_high": 0.2}


def test_what_an_objective_s_preset_brings_along_is_said_by_its_name(tmp_path: Path) -> None:
    found = differences(tmp_path, {"baseline": 0.0}, {"baseline": 0.0, **GRPO})
    assert found == [{"algorithm.name": "asymre"}, {"algorithm.name": "grpo"}]


def test_an_option_that_differs_within_an_objective_is_named(tmp_path: Path) -> None:
    found = differences(tmp_path, {}, GRPO, {**GRPO, "algorithm__clip_high": 0.3})
    assert [row["algorithm.clip_high"] for row in found] == [None, 0.2, 0.3]
    assert all("algorithm.clip_low" not in row for row in found)


def test_settings_that_are_equal_or_beside_the_arm_are_not_named(tmp_path: Path) -> None:
    found = differences(tmp_path, {"baseline": -0.1}, {"baseline": 0.1, "tracker__name": "wandb"})
    assert found == [{"baseline": -0.1}, {"baseline": 0.1}]


def test_how_a_gradient_is_computed_sets_no_arms_apart_on_cuda(tmp_path: Path) -> None:
    shorter: dict[str, Any] = {"train__tokens_per_micro_batch": 512, "train__compile": True}
    kept: dict[str, Any] = {"train__keep_checkpoints": 1, "train__keep_state": True}
    cuda: dict[str, Any] = {"train__device": "cuda"}
    assert differences(tmp_path, cuda, {**cuda, **shorter, **kept}) == [{}, {}]
    assert differences(tmp_path, {}, {**shorter, **kept}) == [
        {"train.tokens_per_micro_batch": None, "train.compile": False},
        {"train.tokens_per_micro_batch": 512, "train.compile": True},
    ]
    assert differences(tmp_path, {}, cuda) == [{"train.device": "cpu"}, {"train.device": "cuda"}]
