"""Ctrl-C and SIGTERM in training: a checkpoint where it stands, and the same end afterwards."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asymreinforce import interruption
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.interruption import Interrupted
from asymreinforce.stages.train import Training, arm_store, train
from tests.fixtures.experiments import small_config
from tests.fixtures.stored_files import read_payload
from tests.fixtures.tiny_arm import falling


def trained(
    runs: Path,
    policy: Path,
    rollouts: ScoredRollouts,
    log: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> Store:
    config = small_config(runs, policy=policy, **overrides)
    store = arm_store(config, checkpoint=policy, scored=rollouts, parent=config.directory / "train")
    with interruption.handle_signals():
        train(Training(config, store, falling, log), checkpoint=policy, scored=rollouts)
    return store


def signalled(*steps: int, number: int = signal.SIGTERM) -> Callable[[dict[str, Any]], None]:
    """A log that sends this process a signal in the middle of its loop, after some steps."""

    def log(metrics: dict[str, Any]) -> None:
        if metrics["step"] in steps:
            os.kill(os.getpid(), number)

    return log


def comparable(runs: Path) -> dict[str, bytes]:
    return {n: b for n, b in read_payload(runs).items() if not n.endswith("config.json")}


@pytest.mark.parametrize("lora", [None, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_between_two_checkpoints_it_goes_on_from_that_very_step(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts, number: int, lora: int | None
) -> None:
    given: dict[str, Any] = {"train__checkpoint_every": 4, "train__lora": {"rank": lora}}
    whole = trained(tmp_path / "whole", random_policy, rollouts, **given)
    runs = tmp_path / "stopped"
    for at in (1, 3, 5):
        with pytest.raises(Interrupted) as stop:
            trained(runs, random_policy, rollouts, signalled(at, number=number), **given)
        assert stop.value.code == 128 + number
        (plan,) = runs.rglob("plan.json")
        receipt = Store.open(plan.parent).receipt("interrupted")
        assert receipt and receipt.facts == {"after": 4 if at > 4 else 0, "step": at}
    steps: list[int] = []
    store = trained(runs, random_policy, rollouts, lambda row: steps.append(row["step"]), **given)
    assert steps == [6] and store.is_complete()
    assert comparable(store.directory) == comparable(whole.directory)


def test_a_damaged_interrupted_checkpoint_is_not_used(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    with pytest.raises(Interrupted):
        trained(tmp_path, random_policy, rollouts, signalled(1), train__checkpoint_every=4)
    (weights,) = tmp_path.rglob("interrupted/weights/model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    steps: list[int] = []
    trained(
        tmp_path,
        random_policy,
        rollouts,
        lambda row: steps.append(row["step"]),
        train__checkpoint_every=4,
    )
    assert steps == [1, 2, 3, 4, 5, 6]


def test_at_a_checkpoint_nothing_more_is_written(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    with pytest.raises(Interrupted):
        trained(tmp_path, random_policy, rollouts, signalled(3), train__checkpoint_every=3)
    assert list(tmp_path.rglob("step-000003")) and not list(tmp_path.rglob("interrupted*"))


def test_the_second_signal_has_the_system_s_own_effect() -> None:
    with (
        interruption.handle_signals(),
        pytest.raises(Interrupted),
        interruption.delay_signals() as is_asked,
    ):
        assert not is_asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert is_asked()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_nothing_is_patient_a_signal_is_raised_at_once() -> None:
    with pytest.raises(Interrupted, match="SIGTERM"), interruption.handle_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")


def test_a_signal_is_not_lost_while_an_object_is_destroyed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Destroyed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with interruption.handle_signals(), pytest.raises(Interrupted):
        one = Destroyed()
        del one  # Python drops the exception here
        time.sleep(5)
    assert capfd.readouterr().err == ""


def test_a_signal_of_an_earlier_command_stops_no_later_training() -> None:
    with pytest.raises(Interrupted), interruption.handle_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    with interruption.delay_signals() as is_asked:
        assert not is_asked()
