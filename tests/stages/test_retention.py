"""Which checkpoints and states a finished arm keeps."""

from pathlib import Path

import pytest

from asymreinforce.data.rollouts import ScoredRollouts
from tests.fixtures import kills
from tests.fixtures.experiments import small_config
from tests.fixtures.stored_files import read_stamps
from tests.fixtures.tiny_arm import arm, falling, made_arm, metrics, run_arm, scored, shards


def test_all_weights_are_kept_and_the_state_until_the_arm_is_complete(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    store = arm(tmp_path, random_policy, rollouts)
    assert shards(store, "checkpoints") == ["step-000002", "step-000004", "step-000006"]
    assert not (store.directory / "state").exists() and store.is_complete()
    kept = arm(tmp_path / "kept", random_policy, rollouts, train__keep_state=True)
    assert shards(kept, "state") == ["step-000006"] and kept.is_complete()
    assert kept.hash == store.hash


@pytest.mark.slow
def test_killed_between_closing_and_dropping_the_state_the_rerun_drops_it(
    tmp_path: Path, random_policy: Path
) -> None:
    scored(tmp_path / "set")
    given = (tmp_path / "set", random_policy, {"optim__steps": 4})
    points = kills.failpoints(tmp_path / "points", made_arm, tmp_path / "whole", *given)
    assert points[-1] == "published manifest.json"
    kills.kill_at(len(points), made_arm, tmp_path / "killed", *given)
    assert list((tmp_path / "killed").rglob("state/step-000004.receipt"))
    assert kills.run(made_arm, tmp_path / "killed", *given) == 0
    assert not list((tmp_path / "killed").rglob("state"))


def test_a_finished_arm_stays_finished_whatever_of_its_state_is_to_be_kept(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    kept = arm(tmp_path, random_policy, rollouts, train__keep_state=True)
    before = read_stamps(kept.directory)
    assert arm(tmp_path, random_policy, rollouts).hash == kept.hash
    assert read_stamps(kept.directory) == before


def test_keep_checkpoints_keeps_the_latest_weights(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    store = arm(tmp_path, random_policy, rollouts, train__keep_checkpoints=2)
    assert shards(store, "checkpoints") == ["step-000004", "step-000006"]
    assert store.is_complete()
    assert set(metrics(store)) == set(range(7))  # metrics of dropped checkpoints stay


def test_the_best_checkpoint_is_kept_whole_beyond_retention(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    config = small_config(
        tmp_path / "runs", policy=random_policy, train__keep_checkpoints=1, train__keep_state=True
    )
    store = run_arm(config, random_policy, rollouts, falling)
    assert shards(store, "checkpoints") == shards(store, "state") == ["step-000002", "step-000006"]
    assert store.facts == {
        "steps": 6,
        "best_step": 2,
        "best_accuracy": pytest.approx(1 / 3),
        "collapse_step": None,
    }
    found = {step: row["validation_accuracy"] for step, row in metrics(store).items()}
    assert found == {0: 1.0, 1: None, 2: 1 / 3, 3: None, 4: 1 / 5, 5: None, 6: 1 / 7}
