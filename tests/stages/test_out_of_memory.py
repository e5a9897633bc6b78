"""An arm whose steps do not fit the device: shorter rows, remembered, and the same arm."""

from pathlib import Path
from typing import Any

import pytest
import torch

from asymreinforce.data.arm_settings import remembered_rows
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.errors import DeviceMemoryError
from asymreinforce.stages.train import Training, arm_store, train
from asymreinforce.update.trainer import Trainer
from tests.fixtures.experiments import small_config

ROWS = {"train__tokens_per_micro_batch": 300}


class Device:
    """A device on which rows of more than `longest` tokens do not fit; counts how often."""

    def __init__(self, longest: int, monkeypatch: pytest.MonkeyPatch):
        self.refused = 0
        linear = Trainer._linear

        def tight(trainer: Trainer, *arguments: Any) -> Any:
            if trainer.tokens_per_micro_batch > longest:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            return linear(trainer, *arguments)

        monkeypatch.setattr(Trainer, "_linear", tight)


class StoppedError(Exception):
    """Stands for a kill."""


def test_rows_that_fitted_are_where_a_killed_run_goes_on_with(
    tmp_path: Path,
    random_policy: Path,
    rollouts: ScoredRollouts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = Device(100, monkeypatch)
    config = small_config(tmp_path, policy=random_policy, **ROWS)
    store = arm_store(config, checkpoint=random_policy, scored=rollouts, parent=tmp_path)
    given: dict[str, Any] = {"checkpoint": random_policy, "scored": rollouts}

    def stop(row: dict[str, Any]) -> None:
        if row["step"] == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(Training(config, store, log=stop), **given)
    assert device.refused == 2 and remembered_rows(store, config) == 75  # 300, 150, 75
    train(Training(config, store), **given)
    assert store.is_complete() and device.refused == 2


def test_a_device_too_small_is_not_said_to_be_a_step_that_is_not_finite(
    tmp_path: Path,
    random_policy: Path,
    rollouts: ScoredRollouts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Device(10, monkeypatch)
    config = small_config(tmp_path, policy=random_policy, **ROWS)
    store = arm_store(config, checkpoint=random_policy, scored=rollouts, parent=tmp_path)
    with pytest.raises(DeviceMemoryError, match=r"^out of memory with rows of 75 tokens"):
        train(Training(config, store), checkpoint=random_policy, scored=rollouts)
