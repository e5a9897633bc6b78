"""An arm that collapses while it trains: where it ends, resumed or not, and what it leaves."""

from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.stages.train import Training, arm_store, train
from tests.fixtures.experiments import small_config
from tests.fixtures.stored_files import read_stamps
from tests.fixtures.tiny_arm import metrics, run_arm

CHECKPOINT_EACH_STEP = {"train__checkpoint_every": 1, "train__validation_prompts": 100}


def collapsing(model: Any, step: int) -> float:
    """An accuracy that fails from step 2 on: the second such validation is step 3."""
    return [0.5, 0.9, 0.1, 0.0, 0.0, 0.0, 0.0][step]


def arm(place: Path, policy: Path, rollouts: ScoredRollouts, on_collapse: str) -> Store:
    config = small_config(
        place, policy=policy, train__on_collapse=on_collapse, **CHECKPOINT_EACH_STEP
    )
    return run_arm(config, policy, rollouts, collapsing)


def test_continue_trains_on_and_remembers_the_step(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    store = arm(tmp_path, random_policy, rollouts, "continue")
    assert (store.facts["steps"], store.facts["collapse_step"]) == (6, 3)
    assert max(metrics(store)) == 6


def test_stop_ends_the_arm_at_its_collapse_complete_and_with_its_best_checkpoint(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    store = arm(tmp_path, random_policy, rollouts, "stop")
    assert store.is_complete()
    assert (store.facts["steps"], store.facts["collapse_step"]) == (3, 3)
    assert store.facts["best_step"] == 1
    assert max(metrics(store)) == 3
    weights = sorted(path.name for path in (store.directory / "checkpoints").glob("step-??????"))
    assert weights == ["step-000001", "step-000002", "step-000003"]


def test_a_stopped_arm_is_not_trained_again(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    store = arm(tmp_path, random_policy, rollouts, "stop")
    before = read_stamps(store.directory)
    again = arm(tmp_path, random_policy, rollouts, "stop")
    assert again.is_complete()
    assert read_stamps(store.directory) == before


def test_up_to_the_collapse_the_weights_are_those_of_a_run_that_goes_on(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    stopped = arm(tmp_path, random_policy, rollouts, "stop")
    whole = arm(tmp_path, random_policy, rollouts, "continue")
    for step in (1, 2, 3):
        name = f"checkpoints/step-{step:06d}/model.safetensors"
        assert (stopped.directory / name).read_bytes() == (whole.directory / name).read_bytes()


class KilledError(Exception):
    """Stands for whatever ends a run."""


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_resumed_arm_stops_at_the_same_step(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts, killed_at: int
) -> None:
    """At step 3 the collapse is published and the arm not closed: it must not train on."""
    config = small_config(
        tmp_path, policy=random_policy, train__on_collapse="stop", **CHECKPOINT_EACH_STEP
    )
    store = arm_store(config, checkpoint=random_policy, scored=rollouts, parent=tmp_path / "arm")
    given: dict[str, Any] = {"checkpoint": random_policy, "scored": rollouts}
    seen: list[int] = []

    def kill(row: dict[str, Any]) -> None:
        if row["step"] == killed_at:
            raise KilledError

    with pytest.raises(KilledError):
        train(Training(config, store, collapsing, kill), **given)
    log = lambda row: seen.append(row["step"])  # noqa: E731
    train(Training(config, store, collapsing, log), **given)
    assert seen == list(range(killed_at + 1, 4))
    assert store.is_complete()
    assert (store.facts["steps"], store.facts["collapse_step"]) == (3, 3)
