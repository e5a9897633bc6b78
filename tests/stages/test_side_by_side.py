"""Arms side by side in one process: each as if alone, the rows of a step read once."""

from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.errors import ConfigError, TrainingError
from asymreinforce.stages.train import Training, arm_store, train_side_by_side
from tests.fixtures.experiments import small_config
from tests.fixtures.stored_files import read_payload
from tests.fixtures.tiny_arm import run_arm, scored

NOWHERE = {"rank": 2, "target_modules": ["no_such_layer"]}
BASELINES = (-0.3, -0.1, 0.0, 0.2)


@pytest.fixture
def rollouts(tmp_path: Path) -> ScoredRollouts:
    return scored(tmp_path / "set")


def arm(runs: Path, policy: Path, rollouts: ScoredRollouts, **settings: Any) -> Training:
    config = small_config(runs, policy=policy, **settings)
    store = arm_store(config, checkpoint=policy, scored=rollouts, parent=config.directory / "train")
    return Training(config, store)


def test_each_of_four_arms_has_the_bytes_that_it_has_alone_and_each_chunk_is_read_once(
    tmp_path: Path,
    random_policy: Path,
    rollouts: ScoredRollouts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = []
    for baseline in BASELINES:
        config = small_config(tmp_path / "alone", policy=random_policy, baseline=baseline)
        alone.append(read_payload(run_arm(config, random_policy, rollouts).directory))
    reads: list[str] = []
    read = ScoredRollouts.read

    def counted(self: ScoredRollouts, chunk: str, **settings: Any) -> Any:
        reads.append(chunk)
        return read(self, chunk, **settings)

    arms = [
        arm(tmp_path / "together", random_policy, rollouts, baseline=baseline)
        for baseline in BASELINES
    ]
    monkeypatch.setattr(ScoredRollouts, "read", counted)
    failed = train_side_by_side(arms, checkpoint=random_policy, scored=rollouts)
    assert failed == {}
    for one, expected in zip(arms, alone, strict=True):
        found = read_payload(one.store.directory)
        assert found.keys() == expected.keys()
        assert [n for n in found if found[n] != expected[n] and n != "config.json"] == []
    slices = len(BASELINES)  # each arm's own diagnostic slice
    assert len(reads) == slices + len(rollouts.chunks)


def test_an_arm_that_goes_wrong_leaves_the_others_alone(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    arms = [
        arm(tmp_path, random_policy, rollouts, baseline=-0.1),
        arm(tmp_path, random_policy, rollouts, baseline=-0.1, optim__lr=1e30),
        arm(tmp_path, random_policy, rollouts, train__lora=NOWHERE),
    ]
    failed = train_side_by_side(arms, checkpoint=random_policy, scored=rollouts)
    assert {number: type(error) for number, error in failed.items()} == {
        1: TrainingError,
        2: ConfigError,
    }
    assert [one.store.is_complete() for one in arms] == [True, False, False]


def test_an_arm_that_stands_further_on_waits_for_the_others(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    ahead = arm(tmp_path, random_policy, rollouts, baseline=0.2)
    stopped = ahead._replace(log=stop_at(3))
    with pytest.raises(KeyboardInterrupt):
        train_side_by_side([stopped], checkpoint=random_policy, scored=rollouts)
    seen: dict[float, list[int]] = {0.2: [], -0.1: []}
    arms = [
        ahead._replace(log=lambda row: seen[0.2].append(row["step"])),
        arm(tmp_path, random_policy, rollouts, baseline=-0.1)._replace(
            log=lambda row: seen[-0.1].append(row["step"])
        ),
    ]
    assert train_side_by_side(arms, checkpoint=random_policy, scored=rollouts) == {}
    assert seen == {0.2: [3, 4, 5, 6], -0.1: [1, 2, 3, 4, 5, 6]}


def stop_at(step: int) -> Any:
    def log(row: dict[str, Any]) -> None:
        if row["step"] == step:
            raise KeyboardInterrupt

    return log
