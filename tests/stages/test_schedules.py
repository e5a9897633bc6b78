"""Arms whose learning rate and baseline change: what is in force, and the same bytes again."""

import signal
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config import parse_config
from asymreinforce.data import contracts
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.interruption import Interrupted
from asymreinforce.stages.train import arm_store
from asymreinforce.stages.train.baseline import BaselineInForce
from tests.fixtures import tiny_arm as training
from tests.fixtures.experiments import small_config, small_values
from tests.stages.test_interruption import comparable, signalled, trained

COSINE = {"optim__schedule": "cosine", "optim__final_lr_share": 0.5, "optim__warmup_steps": 2}
CONTROLLED = {
    "baseline_schedule": "staleness",
    "baseline_target": 0.0,
    "baseline_gain": 0.01,
    "train__diagnostics_every": 1,
}


def columns(
    place: Path, policy: Path, rollouts: ScoredRollouts, name: str, **settings: Any
) -> list[Any]:
    rows = training.metrics(training.arm(place, policy, rollouts, **settings))
    return [rows[step][name] for step in range(1, len(rows))]


def test_the_learning_rate_decays_over_the_steps_that_the_epochs_make(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    found = columns(tmp_path, random_policy, rollouts, "lr", **COSINE)
    assert found == pytest.approx([0.0005, 0.001, 0.0009268, 0.00075, 0.0005732, 0.0005], rel=1e-4)
    linear = {"optim__schedule": "linear", "optim__final_lr_share": 0.0, "optim__epochs": 2}
    found = columns(tmp_path, random_policy, rollouts, "lr", **linear)
    assert found == pytest.approx([1e-3 * (11 - step) / 11 for step in range(12)])


def test_a_linear_baseline_is_in_force_and_recorded(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    moving = {"baseline_schedule": "linear", "baseline_start": 0.3, "baseline_steps": 4}
    found = columns(tmp_path, random_policy, rollouts, "baseline", **moving)
    assert found == pytest.approx([0.3, 0.2, 0.1, 0.0, -0.1, -0.1])
    moved = columns(tmp_path, random_policy, rollouts, "loss", **moving)
    constant = columns(tmp_path, random_policy, rollouts, "loss", baseline=0.3)
    assert moved[0] == constant[0]
    assert moved[1] != constant[1]


def test_a_controlled_baseline_follows_the_measured_staleness(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    rows = training.metrics(training.arm(tmp_path, random_policy, rollouts, **CONTROLLED))
    expected = [-0.1]
    for step in range(1, 6):
        moved = expected[-1] + 0.01 * rows[step]["log_mean_weight"]
        expected.append(min(0.0, max(-0.5, moved)))
    assert [rows[step]["baseline"] for step in range(1, 7)] == pytest.approx(expected)
    assert len(set(expected)) == 6
    assert rows[0]["baseline"] is None


def test_between_two_measurements_the_baseline_stays(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    every_third = CONTROLLED | {"train__diagnostics_every": 3, "baseline_measure": "kl"}
    found = columns(tmp_path, random_policy, rollouts, "baseline", **every_third)
    assert found[:3] == [-0.1] * 3
    assert len({*found[3:]}) == 1
    assert found[3] < -0.1  # KL is above 0


def test_an_arm_of_a_constant_baseline_has_no_column_of_it(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    import pyarrow.parquet as pq

    for given, has_column in (({}, False), (CONTROLLED, True)):
        store = training.arm(tmp_path, random_policy, rollouts, **given)
        path = store.path("metrics/step-000002.parquet")
        assert ("baseline" in pq.read_schema(path).names) is has_column
        assert "baseline" in contracts.read_table(path, contracts.METRICS).column_names


@pytest.mark.parametrize("given", [COSINE, CONTROLLED])
def test_interrupted_and_run_again_a_changing_arm_has_the_same_bytes(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts, given: dict[str, Any]
) -> None:
    settings = {**given, "train__checkpoint_every": 4}
    whole = trained(tmp_path / "whole", random_policy, rollouts, **settings)
    for at in (1, 3, 5):
        with pytest.raises(Interrupted):
            trained(
                tmp_path / "cut",
                random_policy,
                rollouts,
                signalled(at, number=signal.SIGTERM),
                **settings,
            )
    again = trained(tmp_path / "cut", random_policy, rollouts, **settings)
    assert comparable(again.directory) == comparable(whole.directory)


def test_settings_of_a_schedule_name_an_arm_only_if_it_changes(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    def name(**settings: Any) -> str:
        config = small_config(tmp_path, policy=random_policy, **settings)
        return arm_store(config, checkpoint=random_policy, scored=rollouts, parent=tmp_path).hash

    plain = name()
    assert name(optim__final_lr_share=0.3, baseline_target=2.0, baseline_start=1.0) == plain
    changing: list[dict[str, Any]] = [
        {"optim__schedule": "linear"},
        COSINE,
        CONTROLLED,
        CONTROLLED | {"baseline_gain": 0.5},
        {"baseline_schedule": "linear"},
        {"baseline_schedule": "linear", "baseline_steps": 7},
    ]
    assert len({plain, *(name(**settings) for settings in changing)}) == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampling__temperature": 0.7}, "temperature=0.7 and sampling.top_p=1 draw from another"),
        ({"source__path": "rollouts.jsonl"}, "source.path brings rollouts from elsewhere"),
        ({"baseline": 0.1}, "between baseline_lowest=-0.5 and 0"),
        ({"baseline": -0.7}, "between baseline_lowest=-0.5 and 0"),
    ],
)
def test_a_controller_without_its_measure_is_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    values = small_values(tmp_path, policy="mu", **CONTROLLED, **settings)
    with pytest.raises(ConfigError, match=message):
        parse_config(values)


def test_rollouts_on_which_nothing_is_measured_are_refused(tmp_path: Path) -> None:
    config = small_config(tmp_path, policy="mu", **CONTROLLED)
    with pytest.raises(InputError, match="needs log_mean_weight, which these rollouts leave null"):
        BaselineInForce(config, is_measured=False)
    without = config.model_copy(
        update={"algorithm": config.algorithm.model_copy(update={"name": "positives_only"})}
    )
    assert BaselineInForce(without, is_measured=False).after(1, {}) == {}
