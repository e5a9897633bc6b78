"""The engine and the trainer take turns: never is one's memory held while the other works."""

import contextlib
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedModel

from asymreinforce.config import ExperimentConfig
from asymreinforce.experiment import rounds, running
from asymreinforce.experiment.sweep import run_sweep
from asymreinforce.update.trainer import Trainer
from tests.fixtures.rounds import Engine, settings


class OnDevice(Engine):
    """Has the device from a `load` until it is released or closed, and wants it for itself."""

    def __init__(self, config: ExperimentConfig, models: int) -> None:
        super().__init__(config)
        self.is_awake = False
        self._models = models

    def load(self, checkpoint: Path) -> None:
        assert live(Trainer) == 0
        assert live(PreTrainedModel) == self._models
        super().load(checkpoint)
        self.is_awake = True

    def sample(self, *arguments: Any, **named: Any) -> Any:
        assert self.is_awake
        return super().sample(*arguments, **named)

    def release(self) -> None:
        self.is_awake = False

    def close(self) -> None:
        self.is_awake = False


def live(kind: type) -> int:
    gc.collect()
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


@pytest.fixture
def config(tmp_path: Path, random_policy: Path) -> ExperimentConfig:
    return settings(tmp_path, random_policy, sweep__workers=1, train__validation_prompts=2)


@pytest.fixture
def engines(config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch) -> list[OnDevice]:
    """The engines that were opened; a trainer that begins or steps beside one is refused."""
    opened: list[OnDevice] = []
    models = live(PreTrainedModel)  # those of other tests' fixtures

    @contextlib.contextmanager
    def open_engine(*given: Any, **named: Any) -> Iterator[OnDevice]:
        engine = OnDevice(config, models)
        opened.append(engine)
        yield engine
        engine.close()

    monkeypatch.setattr(running, "open_engine", open_engine)
    for name in ("__init__", "step"):
        monkeypatch.setattr(Trainer, name, alone_on_device(getattr(Trainer, name), opened))
    return opened


def alone_on_device(method: Any, opened: list[OnDevice]) -> Any:
    def checked(self: Trainer, *arguments: Any, **named: Any) -> Any:
        assert not any(engine.is_awake for engine in opened)
        return method(self, *arguments, **named)

    return checked


def awake(opened: Sequence[OnDevice]) -> list[bool]:
    return [engine.is_awake for engine in opened if engine.loaded]


def test_no_step_is_taken_beside_an_engine_that_is_awake_and_none_wakes_beside_a_trainer(
    config: ExperimentConfig, engines: list[OnDevice]
) -> None:
    result = rounds.run_in_rounds([config, config.model_copy(update={"baseline": 0.1})])
    assert result.failed == []
    assert result.summary is not None
    (engine,) = (engine for engine in engines if engine.loaded)
    assert len(engine.loaded) == 1 + 2 * 2 + 1 + 2 * 3  # rounds of both arms, and evaluation


def test_ranks_start_when_the_engine_has_given_the_memory_back(
    config: ExperimentConfig, engines: list[OnDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[bool]] = []

    def launch(*given: Any) -> None:
        seen.append(awake(engines))
        raise RuntimeError("seen")

    monkeypatch.setattr(rounds, "launch_ranks", launch)
    sharded = config.model_copy(update={"train": config.train.model_copy(update={"processes": 2})})
    rounds.run_in_rounds([sharded])
    assert seen == [[False]]


def test_processes_that_train_arms_start_when_the_engine_is_closed(
    config: ExperimentConfig, engines: list[OnDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[bool]] = []
    monkeypatch.setattr(rounds, "run_arms", lambda arms, slots: seen.append(awake(engines)))
    two = config.model_copy(update={"sweep": config.sweep.model_copy(update={"workers": 2})})
    rounds.run_in_rounds([two, two.model_copy(update={"baseline": 0.1})])
    assert seen == [[False]]


def test_a_sweep_launches_its_arms_when_the_engine_of_their_inputs_is_closed(
    config: ExperimentConfig, engines: list[OnDevice]
) -> None:
    seen: list[list[bool]] = []
    never = config.model_copy(update={"refresh_every": None})
    run_sweep([never], launch=lambda arms: seen.append(awake(engines)))
    assert seen == [[False]]
