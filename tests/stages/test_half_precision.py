"""Arms in bfloat16: rounded checkpoints to evaluate, fp32 masters in the state to go on from."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from asymreinforce import interruption
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.interruption import Interrupted
from asymreinforce.model.checkpoint import load_model
from asymreinforce.stages.train import Training, arm_store, train
from tests.fixtures.checkpoints import write_random_policy
from tests.fixtures.experiments import small_config
from tests.fixtures.stored_files import read_payload

HALF: dict[str, Any] = {"train__precision": "bfloat16", "train__checkpoint_every": 2}
Log = Callable[[dict[str, Any]], None]


def trained(
    runs: Path, policy: Path, rollouts: ScoredRollouts, log: Log | None = None, **settings: Any
) -> Store:
    config = small_config(runs, policy=policy, **{**HALF, **settings})
    store = arm_store(config, checkpoint=policy, scored=rollouts, parent=config.directory / "train")
    with interruption.handle_signals():
        train(Training(config, store, log=log), checkpoint=policy, scored=rollouts)
    return store


def weights(store: Store, step: int) -> dict[str, torch.Tensor]:
    return load_file(store.path(f"checkpoints/step-{step:06d}") / "model.safetensors")


def state(store: Store, step: int) -> dict[str, torch.Tensor]:
    return load_file(store.path(f"state/step-{step:06d}") / "state.safetensors")


def payload(store: Store) -> dict[str, bytes]:
    return {n: b for n, b in read_payload(store.directory).items() if n != "config.json"}


@pytest.mark.parametrize("tied", [False, True])
def test_a_checkpoint_holds_the_masters_rounded_and_the_state_holds_them_whole(
    tmp_path: Path, rollouts: ScoredRollouts, tied: bool
) -> None:
    policy = write_random_policy(tmp_path / "policy", seed=0, tied=tied)
    store = trained(tmp_path, policy, rollouts, train__keep_state=True)
    rounded, found = weights(store, 6), state(store, 6)
    masters = {
        name.removeprefix("master."): tensor
        for name, tensor in found.items()
        if name.startswith("master.")
    }
    assert masters.keys() == rounded.keys()
    assert ("lm_head.weight" in masters) is not tied
    for name, master in masters.items():
        assert master.dtype == torch.float32 and rounded[name].dtype == torch.bfloat16
        assert torch.equal(master.bfloat16(), rounded[name])
    assert any(not torch.equal(m, m.bfloat16().float()) for m in masters.values())
    path = store.path("checkpoints/step-000006")
    assert json.loads((path / "config.json").read_text())["dtype"] == "bfloat16"
    assert load_model(path).dtype == torch.bfloat16


class StoppedError(Exception):
    """Stands for a kill between two checkpoints."""


@pytest.mark.parametrize("lora", [None, 2])
def test_a_killed_arm_goes_on_from_the_masters_bit_for_bit(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts, lora: int | None
) -> None:
    settings: dict[str, Any] = {"train__lora": {"rank": lora}, "train__keep_state": True}
    whole = trained(tmp_path / "whole", random_policy, rollouts, **settings)

    def stop(row: dict[str, Any]) -> None:
        if row["step"] == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        trained(tmp_path / "killed", random_policy, rollouts, stop, **settings)
    steps: list[int] = []

    def note(row: dict[str, Any]) -> None:
        steps.append(row["step"])

    killed = trained(tmp_path / "killed", random_policy, rollouts, note, **settings)
    assert steps == [3, 4, 5, 6]
    assert payload(killed) == payload(whole)
    has_masters = any(name.startswith("master.") for name in state(killed, 6))
    assert has_masters == (lora is None)  # adapters stand in fp32 beside the rounded weights
    if lora:
        adapter = killed.path("checkpoints/step-000006") / "adapter/adapter_model.safetensors"
        assert {tensor.dtype for tensor in load_file(adapter).values()} == {torch.float32}
        assert {tensor.dtype for tensor in weights(killed, 6).values()} == {torch.bfloat16}


def test_an_interrupted_arm_goes_on_from_the_masters_bit_for_bit(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    whole = trained(tmp_path / "whole", random_policy, rollouts, train__keep_state=True)

    def interrupt(row: dict[str, Any]) -> None:
        if row["step"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        trained(tmp_path / "stopped", random_policy, rollouts, interrupt, train__keep_state=True)
    stopped = trained(tmp_path / "stopped", random_policy, rollouts, train__keep_state=True)
    assert payload(stopped) == payload(whole)


def test_a_state_without_masters_is_not_gone_on_from(
    tmp_path: Path, random_policy: Path, rollouts: ScoredRollouts
) -> None:
    from asymreinforce.update.state import load_state
    from tests.fixtures import slow_trainer as naive

    store = trained(
        tmp_path, random_policy, rollouts, train__precision="float32", train__keep_state=True
    )
    trainer = naive.trainer(load_model(random_policy))
    with pytest.raises(InputError, match=r"lacks 'master\."):
        load_state(store.path("state/step-000006"), trainer, masters=True)
