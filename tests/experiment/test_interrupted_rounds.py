"""Rounds that are killed, fail or stop: the rest goes on, to the same bytes."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.store import Store
from asymreinforce.experiment import rounds, running
from asymreinforce.stages.train.schedule import Schedule
from tests.fixtures.rounds import (
    Dying,
    Engine,
    KilledError,
    Trained,
    records,
    run,
    settings,
)
from tests.fixtures.stored_files import read_payload, read_stamps


def payload(store: Store) -> dict[str, bytes]:
    """All of an arm but its settings and provenance; the mismatch audit is of the start alone."""
    return {k: v for k, v in read_payload(store.directory).items() if k != "config.json"}


@pytest.mark.parametrize("calls", [6, 7, 8])
def test_killed_while_it_generates_a_run_goes_on_to_the_same_bytes(
    tmp_path: Path, random_policy: Path, trained: Trained, calls: int
) -> None:
    """Round 0 takes six calls (three chunks, two blocks), each later one two."""
    config = settings(tmp_path, random_policy)
    with pytest.raises(KilledError):
        run(config, Dying(config, at=calls))
    store, engine = run(config)
    assert payload(store) == payload(trained[1])
    assert engine.calls == 10 - calls


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_killed_inside_a_round_a_run_goes_on_to_the_same_bytes(
    tmp_path: Path,
    random_policy: Path,
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    config = settings(tmp_path, random_policy)
    kill_at(step, monkeypatch)
    with pytest.raises(KilledError):
        run(config)
    monkeypatch.undo()
    store, _ = run(config)
    assert payload(store) == payload(trained[1])


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log of an arm die once it is told of a step."""
    from asymreinforce import tracking

    @contextlib.contextmanager
    def tracker(config: ExperimentConfig, *, arm: str) -> Iterator[Callable[[Any], None]]:
        def log(row: dict[str, Any]) -> None:
            if row["step"] == step:
                raise KilledError

        yield log

    monkeypatch.setattr(tracking, "tracker", tracker)


def test_a_run_that_is_complete_does_nothing(trained: Trained) -> None:
    config, store, _ = trained
    before = read_stamps(config.directory)
    again, engine = run(config)
    assert again.directory == store.directory
    assert engine.loaded == []
    assert read_stamps(config.directory) == before


def test_one_that_stops_at_its_collapse_makes_no_more_rollouts(
    tmp_path: Path, random_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asymreinforce.stages.train import monitors

    def collapsed_at_three(state: Any, row: Any, rule: Any) -> Any:
        return state._replace(step=3) if row["step"] == 3 else state

    monkeypatch.setattr(monitors, "observe", collapsed_at_three)
    config = settings(tmp_path, random_policy, train__on_collapse="stop", train__checkpoint_every=1)
    store, engine = run(config)
    assert store.is_complete()
    assert (store.facts["steps"], store.facts["collapse_step"]) == (3, 3)
    assert len(engine.loaded) == 2
    assert [record["start"] for record in records(store)] == [0, 2]
    assert run(config)[1].loaded == []


def test_weights_of_a_refresh_stay_for_as_long_as_their_round_lasts() -> None:
    schedule = Schedule(steps=10, every=4, keep=None, refresh_every=3)
    assert schedule.starts == [0, 3, 6, 9]
    assert schedule.checkpoints == [3, 4, 6, 8, 9, 10]
    assert schedule.kept_at(5) == [3, 4]
    assert schedule.kept_at(6) == [4, 6]
    assert schedule.kept == [4, 8, 10]


def test_an_arm_that_fails_in_a_later_round_is_named_and_the_others_go_on(
    tmp_path: Path, random_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def open_engine(*given: Any, **named: Any) -> Iterator[Engine]:
        yield Dying(config, at=7)  # the first arm's second round

    config = settings(tmp_path, random_policy, sweep__workers=1)
    arms = [config, config.model_copy(update={"refresh_every": None})]
    monkeypatch.setattr(running, "open_engine", open_engine)
    result = rounds.run_in_rounds(arms)
    assert [failed.error for failed in result.failed] == ["KilledError()"]
    assert result.summary is not None
    assert len(result.summary) == 1
