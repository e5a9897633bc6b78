"""The arms of an experiment: all of them are named, and in which settings they differ."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data.arm_settings import publish_settings
from asymreinforce.data.store import Store
from asymreinforce.experiment.arms import TrainedArm, is_readable, overrides_of, survey_arms
from tests.experiment.conftest import SWEEP
from tests.fixtures.commands import IN_PROCESS, tiny
from tests.fixtures.experiments import small_config


def arms(directory: Path, *settings: dict[str, Any]) -> list[TrainedArm]:
    return [
        TrainedArm(
            Store(directory, {"arm": number}), small_config(directory, policy="mu", **chosen)
        )
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
    assert [row.get("algorithm.clip_high", "no option of it") for row in found] == [
        "no option of it", 0.2, 0.3,
    ]  # fmt: skip
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


def one_arm(runs_dir: Path) -> Path:
    """The directory of the arm of baseline 0.1 and seed 1."""
    for path in (runs_dir / "cups/train").glob("*/plan.json"):
        identity = json.loads(path.read_text())["identity"]
        if (identity["baseline"], identity["seed"]) == (0.1, 1):
            return path.parent
    raise AssertionError("the sweep has that arm")


def summary(runs_dir: Path) -> list[dict[str, Any]]:
    """The summary without what an arm took."""
    rows = json.loads((runs_dir / "cups/summary.json").read_text())
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def another_version_s_key(arm: Path) -> None:
    values = json.loads((arm / "config.json").read_text())
    (arm / "config.json").write_text(json.dumps(values | {"a_key_of_another_version": 1}))


def no_config(arm: Path) -> None:
    (arm / "config.json").unlink()


def torn_config(arm: Path) -> None:
    (arm / "config.json").write_text("{")


def config_of_another_objective(arm: Path) -> None:
    text = (arm / "config.json").read_text()
    (arm / "config.json").write_text(text.replace('"asymre"', '"positives_only"'))


def config_of_another_scale(arm: Path) -> None:
    text = (arm / "config.json").read_text()
    (arm / "config.json").write_text(re.sub(r'"incorrect": -1.0', '"incorrect": 0.0', text))


def no_last_checkpoint(arm: Path) -> None:
    shutil.rmtree(arm / "checkpoints/step-000004")


def no_first_checkpoint(arm: Path) -> None:
    shutil.rmtree(arm / "checkpoints/step-000002")


def no_weights(arm: Path) -> None:
    (arm / "checkpoints/step-000004/model.safetensors").unlink()


def no_checkpoints(arm: Path) -> None:
    shutil.rmtree(arm / "checkpoints")


def no_metrics(arm: Path) -> None:
    (arm / "metrics/step-000002.parquet").unlink()


def torn_manifest(arm: Path) -> None:
    text = (arm / "manifest.json").read_text()
    (arm / "manifest.json").write_text(text[: len(text) // 2])


def no_plan(arm: Path) -> None:
    (arm / "plan.json").unlink()


def torn_plan(arm: Path) -> None:
    (arm / "plan.json").write_text("{")


LOSSES = [
    another_version_s_key,
    no_config,
    torn_config,
    config_of_another_objective,
    config_of_another_scale,
    no_last_checkpoint,
    no_first_checkpoint,
    no_weights,
    no_checkpoints,
    no_metrics,
    torn_manifest,
    no_plan,
    torn_plan,
]


@pytest.mark.parametrize("lose", LOSSES)
def test_an_arm_that_lost_anything_is_passed_over_with_a_reason(
    lose: Callable[[Path], None], swept: Path
) -> None:
    arm = one_arm(swept)
    lose(arm)
    found = survey_arms(swept / "cups")
    assert len(found.arms) == 3
    (lost,) = found.passed_over
    assert (lost.directory, lost.was_complete, lost.is_at_work) == (arm, True, False)
    assert (
        "train" in lost.reason or "not a stage directory" in lost.reason or "a_key" in lost.reason
    )


@pytest.mark.parametrize("lose", [another_version_s_key, no_first_checkpoint])
def test_commands_that_cannot_mend_an_arm_name_it_and_exit_with_1(
    lose: Callable[[Path], None], swept: Path
) -> None:
    arm = one_arm(swept)
    lose(arm)
    outcome = tiny("evaluate", swept)
    assert outcome.code == 1
    assert f"passed over: {arm}: " in outcome.err
    assert "the summary lacks 1 of its arms" in outcome.err
    outcome = tiny("sweep", swept, "baseline=-0.1", "seed=0,1", IN_PROCESS, "sweep.report=false")
    assert outcome.code == 1
    assert f"failed: arm {arm.name}: " in outcome.err
    assert len(summary(swept)) == 3


@pytest.mark.parametrize("lose", [another_version_s_key, no_last_checkpoint])
def test_the_same_sweep_mends_an_arm_that_lost_something(
    lose: Callable[[Path], None], swept: Path
) -> None:
    before = summary(swept)
    assert len(before) == 4
    lose(one_arm(swept))
    outcome = tiny("sweep", swept, *SWEEP, IN_PROCESS, "sweep.report=false")
    assert outcome.code == 0, outcome.err
    assert not survey_arms(swept / "cups").passed_over
    assert summary(swept) == before


def test_an_arm_whose_rounds_say_how_many_steps_it_has_is_read(tmp_path: Path) -> None:
    rounds: dict[str, Any] = {"rounds": 4, "refresh_every": 2, "optim__steps": None}
    config = small_config(tmp_path, policy="mu", **rounds)
    optim = config.optim.model_dump(mode="json") | {"steps": config.steps}
    assert optim["steps"] == 8
    store = Store(tmp_path / "train", {"optim": optim})
    store.plan([])
    publish_settings(store, config)
    assert is_readable(store)


def test_an_arm_that_was_never_finished_is_named_by_other_commands(swept: Path) -> None:
    arm = one_arm(swept)
    (arm / "manifest.json").unlink()
    outcome = tiny("sweep", swept, "baseline=-0.1", "seed=0,1", IN_PROCESS, "sweep.report=false")
    assert outcome.code == 0, outcome.err
    assert f"passed over: {arm}: it is not complete" in outcome.err
    outcome = tiny("evaluate", swept)
    assert outcome.code == 1
    assert "the summary lacks 1 of its arms" in outcome.err
