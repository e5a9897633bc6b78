"""An arm by several ranks: torchrun, what it shows, how it fails, and how it goes on."""

import functools
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from asymrl.bridge import conf_directory

from asymreinforce import progress
from asymreinforce.config import ExperimentConfig, TrainConfig
from asymreinforce.data import lease
from asymreinforce.data.arm_settings import publish_settings, remember_rows, remembered_rows
from asymreinforce.data.lease import path_of
from asymreinforce.data.store import Store
from asymreinforce.errors import (
    ConfigError,
    DeviceMemoryError,
    HeldError,
    InputError,
    TrainingError,
)
from asymreinforce.experiment import arm
from asymreinforce.experiment import launch as launching
from asymreinforce.experiment.arms import TrainedArm, overrides_of
from asymreinforce.experiment.launch import (
    _error_to_raise,
    follow_events,
    launch_ranks,
    torchrun_command,
)
from asymreinforce.experiment.open_arm import OpenArm
from asymreinforce.update.ranks import Ranks
from tests.data.test_lease import written
from tests.fixtures.commands import Outcome, asymrl, refused, tiny
from tests.fixtures.experiments import small_config
from tests.fixtures.tiny_arm import metrics


def test_one_node_s_ranks_meet_on_their_own_and_several_nodes_at_an_address() -> None:
    alone = torchrun_command(TrainConfig(processes=8), name="arm")
    assert alone[1:] == [
        *("-m", "torch.distributed.run", "--standalone"),
        *("--nnodes=1", "--nproc-per-node=8", "--max-restarts=0"),
    ]
    several = torchrun_command(
        TrainConfig(processes=8, nodes=2, rendezvous="node0:29500"), name="arm"
    )
    assert several[3:7] == [
        *("--rdzv-backend=c10d", "--rdzv-endpoint=node0:29500", "--rdzv-id=arm", "--nnodes=2"),
    ]


@pytest.mark.parametrize("address", [None, "node0"])
def test_nodes_without_an_address_are_refused(address: str | None) -> None:
    with pytest.raises(ValueError, match="rendezvous"):
        TrainConfig(nodes=2, rendezvous=address)


def test_the_number_of_ranks_is_no_part_of_an_arm_s_identity(
    tmp_path: Path, random_policy: Path
) -> None:
    from asymreinforce.stages.train import arm_store
    from tests.fixtures.tiny_arm import scored

    rollouts = scored(tmp_path)
    hashes = {
        arm_store(config, checkpoint=random_policy, scored=rollouts, parent=tmp_path).hash
        for config in (
            small_config(tmp_path, policy=random_policy),
            small_config(tmp_path, policy=random_policy, train__processes=8),
            small_config(tmp_path, policy=random_policy, train__cpu_offload=True),
            small_config(tmp_path, policy=random_policy, train__sharding="node"),
        )
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(("device", "arms"), [("cuda", 1), ("cpu", 6)])
def test_how_a_gradient_is_computed_names_an_arm_on_cpu_alone(
    tmp_path: Path, random_policy: Path, device: str, arms: int
) -> None:
    """On CUDA no bytes are promised, and advice to change one of these must not cost the arm."""
    from asymreinforce.stages.train import arm_store
    from tests.fixtures.tiny_arm import scored

    rollouts = scored(tmp_path)
    changes: list[dict[str, Any]] = [
        {},
        {"train__tokens_per_micro_batch": 512},
        {"train__activation_checkpointing": True},
        {"train__attention": "sdpa"},
        {"train__compile": True},
        {"train__threads": 2},
    ]
    hashes = [
        arm_store(
            small_config(tmp_path, policy=random_policy, train__device=device, **change),
            checkpoint=random_policy,
            scored=rollouts,
            parent=tmp_path,
        ).hash
        for change in changes
    ]
    assert len(set(hashes)) == arms


def test_an_arm_that_goes_on_under_other_settings_says_which(
    tmp_path: Path, random_policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path, {"an": "arm"})
    store.directory.mkdir()
    cuda: dict[str, Any] = {"policy": random_policy, "train__device": "cuda"}
    long, short = (
        small_config(tmp_path, train__tokens_per_micro_batch=tokens, **cuda)
        for tokens in (16384, 8192)
    )
    for config in (long, long, short):
        publish_settings(store, config)
    (record,) = (json.loads(p.read_text()) for p in (store.directory / "provenance").iterdir())
    changed = {"train.tokens_per_micro_batch": {"before": 16384, "now": 8192}}
    assert record["changed"] == changed
    assert (
        "goes on with train.tokens_per_micro_batch=8192 (it was 16384)" in capsys.readouterr().err
    )


def test_rows_that_fit_are_remembered_for_the_settings_that_decide_it(
    tmp_path: Path, random_policy: Path
) -> None:
    store = Store(tmp_path, {"an": "arm"})
    store.directory.mkdir()
    cuda: dict[str, Any] = {"policy": random_policy, "train__device": "cuda"}
    config = small_config(tmp_path, **cuda)
    assert remembered_rows(store, config) is None
    remember_rows(store, config, 4096)
    assert remembered_rows(store, small_config(tmp_path, **cuda, train__keep_state=True)) == 4096
    roomy = small_config(tmp_path, **cuda, train__activation_checkpointing=True)
    assert remembered_rows(store, roomy) is None
    (store.directory / "rows.json").write_text("{")
    assert remembered_rows(store, config) is None


PRESETS = sorted(path.stem for path in (conf_directory() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_the_settings_of_ranks(preset: str) -> None:
    settings = ("train.processes=8", "train.nodes=2", "train.rendezvous=node0:29500")
    sharding = ("train.sharding=node", "train.cpu_offload=true")
    composed = asymrl("train", f"experiment={preset}", *settings, *sharding, "--cfg", "job")
    assert composed.code == 0, composed.err


def test_arms_that_differ_in_their_ranks_alone_do_not_differ(config: ExperimentConfig) -> None:
    other = config.model_copy(update={"train": config.train.model_copy(update={"processes": 8})})
    stores = [Store(Path("arms"), {"arm": name}) for name in "ab"]
    arms = [TrainedArm(store, each) for store, each in zip(stores, (config, other), strict=True)]
    assert overrides_of(arms) == {store.hash: {} for store in stores}


def lines(*events: Any) -> list[bytes]:
    return [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]


def test_what_the_first_rank_relays_is_shown_and_stray_prints_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar = {"description": "train", "total": 3, "unit": "steps", "done": 1}
    events = [{"say": "hello"}, b"NCCL version", {"bar": bar}, {"advance": 2}, {"end": True}]
    assert follow_events(lines(*events, [1], {"say": "bye"})) == []
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "hello" and shown[-1] == "bye" and len(shown) == 3
    assert shown[1].startswith("train: 3/3 steps in ")


def test_a_relayed_bar_arrives_as_it_was_drawn() -> None:
    events: list[dict[str, Any]] = []
    with progress.relay_output(events.append), progress.bar("x", total=2, unit="u") as advance:
        advance(1)
        progress.say("between")
    bar = {"description": "x", "total": 2, "unit": "u", "done": 0}
    assert events == [{"bar": bar}, {"advance": 1}, {"say": "between"}, {"end": True}]


def failure(rank: int, kind: str, error: str) -> dict[str, Any]:
    return {"rank": rank, "kind": kind, "error": error, "rows": None}


@pytest.mark.parametrize(
    ("failures", "kind", "words"),
    [
        ([failure(1, "RuntimeError", "peer"), failure(0, "InputError", "no")], InputError, "^no$"),
        ([failure(0, "ConfigError", "bad")], ConfigError, "^bad$"),
        ([failure(1, "RuntimeError", "x")], TrainingError, "rank of 4 failed .rank 1: Runt.*a.log"),
        ([], TrainingError, "torchrun ended with exit code 1.*run the same command again"),
    ],
)
def test_what_a_user_can_mend_is_raised_before_what_came_of_it(
    failures: list[dict[str, Any]], kind: type[Exception], words: str
) -> None:
    error = _error_to_raise(failures, code=1, ranks=4, log=Path("a.log"))
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


def test_an_interrupted_parent_stops_its_ranks(
    tmp_path: Path, config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        if len(pids) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress, "say", interrupt)
    two = config.model_copy(update={"train": config.train.model_copy(update={"processes": 2})})
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        launch_ranks(two, Store(tmp_path, {"an": "arm"}), worker="tests.fixtures.idle_worker")
    assert time.monotonic() - started < 60
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def arm_of(runs: Path, seed: int) -> Store:
    """The arm of a seed."""
    stores = [Store.open(path.parent) for path in (runs / "cups" / "train").glob("*/plan.json")]
    (found,) = [store for store in stores if store.identity["seed"] == seed]
    return found


def test_two_ranks_killed_in_mid_step_and_one_that_goes_on_have_the_curve_of_one(
    first_sweep: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, whole = (Path(shutil.copytree(first_sweep[0], tmp_path / n)) for n in ("two", "one"))
    dying = functools.partial(launch_ranks, worker="tests.fixtures.dying_worker")
    monkeypatch.setattr(arm, "launch_ranks", dying)
    settings = ("seed=7", "train.checkpoint_every=2")
    refused(tiny("train", killed, *settings, "train.processes=2"), "a rank of 2 failed", "the log")
    half = arm_of(killed, 7)
    assert sorted(metrics_steps(half)) == [0, 1, 2] and not half.is_complete()
    assert len(list((half.directory / "state/step-000002/moments").iterdir())) == 2
    for runs in (killed, whole):
        assert tiny("train", runs, *settings).code == 0
    found, expected = (metrics(arm_of(runs, 7)) for runs in (killed, whole))
    assert sorted(found) == sorted(expected) == [0, 1, 2, 3, 4]
    for step in range(1, 5):
        for name in ("loss", "grad_norm", "logp_incorrect", "reward"):
            assert found[step][name] == pytest.approx(expected[step][name], rel=1e-5, abs=1e-5)
    records = [json.loads(p.read_text()) for p in (half.directory / "provenance").iterdir()]
    assert {1} <= {record["ranks"] for record in records if "ranks" in record} <= {1, 2}
    changed = [record["changed"] for record in records if "changed" in record]
    assert changed == [{"train.processes": {"before": 2, "now": 1}}]


def test_ranks_of_which_one_runs_out_of_memory_go_back_together_to_shorter_rows(
    first_sweep: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight, whole = (Path(shutil.copytree(first_sweep[0], tmp_path / n)) for n in ("two", "one"))
    short = functools.partial(launch_ranks, worker="tests.fixtures.short_of_memory_worker")
    monkeypatch.setattr(arm, "launch_ranks", short)
    settings = ("seed=7", "train.checkpoint_every=2", "train.tokens_per_micro_batch=200")
    outcome = tiny("train", tight, *settings, "train.processes=2")
    assert outcome.code == 0, outcome.err
    said = (
        "rank 1 is out of memory with rows of 200 tokens (CUDA out of memory): rows of 100 tokens"
    )
    assert said in outcome.err
    store = arm_of(tight, 7)
    assert store.is_complete()
    written = sorted((store.directory / "provenance").iterdir())
    records = [json.loads(path.read_text()) for path in written]
    assert records[-1]["train"]["tokens_per_micro_batch"] == 100
    assert tiny("train", whole, *settings).code == 0
    assert arm_of(whole, 7).hash == store.hash  # the shorter rows stand beside the identity
    found, expected = (metrics(arm_of(runs, 7)) for runs in (tight, whole))
    for step in range(1, 5):
        for name in ("loss", "grad_norm"):
            assert found[step][name] == pytest.approx(expected[step][name], rel=1e-5, abs=1e-5)


def test_ranks_that_cannot_be_started_again_together_say_how_to_go_on(
    tmp_path: Path, config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other nodes' commands have not heard of it; what fits is remembered all the same."""
    settings = {"processes": 2, "nodes": 2, "rendezvous": "node0:29500"}
    spread = config.model_copy(update={"train": config.train.model_copy(update=settings)})
    error = DeviceMemoryError("rank 3 is out of memory", rows=512)
    monkeypatch.setattr(launching, "_run_ranks", lambda *_, **__: error)
    store = Store(tmp_path, {"an": "arm"})
    with pytest.raises(DeviceMemoryError, match=r"same command on every node.*rows of 512 tokens"):
        launch_ranks(spread, store)
    assert remembered_rows(store, spread) == 512


def test_ranks_for_which_no_rows_are_short_enough_are_not_started_again(
    tmp_path: Path, config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[int] = []

    def fail(*_: Any, **__: Any) -> DeviceMemoryError:
        starts.append(1)
        return DeviceMemoryError("out of memory with rows of 100 tokens")

    monkeypatch.setattr(launching, "_run_ranks", fail)
    with pytest.raises(DeviceMemoryError, match="rows of 100 tokens"):
        launch_ranks(config, Store(tmp_path, {"an": "arm"}))
    assert starts == [1]


def metrics_steps(store: Store) -> list[int]:
    """The steps of the metrics that are published so far."""
    from asymreinforce.data import contracts

    published = [n for n in store.planned if n.startswith("metrics/") and store.receipt(n)]
    tables = [contracts.read_table(store.path(name), contracts.METRICS) for name in published]
    return [step for table in tables for step in table.column("step").to_pylist()]


NO_INPUTS: Any = None


@pytest.mark.parametrize(
    ("nodes", "number", "is_held"), [(2, 0, True), (2, 1, False), (1, 1, False)]
)
def test_of_ranks_on_several_nodes_the_first_holds_the_lease(
    tmp_path: Path,
    config: ExperimentConfig,
    monkeypatch: pytest.MonkeyPatch,
    nodes: int,
    number: int,
    is_held: bool,
) -> None:
    store = Store(tmp_path, {"an": "arm"})
    seen: list[bool] = []
    monkeypatch.setattr(arm, "open_arm", lambda config: OpenArm(config, NO_INPUTS, store))
    monkeypatch.setattr(
        arm, "_train_with_ranks", lambda *_, **__: seen.append(path_of(store.directory).exists())
    )
    settings = {"nodes": nodes, "rendezvous": "node0:29500"}
    spread = config.model_copy(update={"train": config.train.model_copy(update=settings)})
    arm.train_rank(spread, Ranks(number=number))
    assert seen == [is_held]
    assert not path_of(store.directory).exists()


def test_on_one_node_the_first_rank_works_under_the_lease_of_the_command_as_long_as_that_is_kept(
    tmp_path: Path, config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, {"an": "arm"})
    monkeypatch.setattr(arm, "open_arm", lambda config: OpenArm(config, NO_INPUTS, store))

    def train(*_: object, **__: object) -> None:
        store.plan(["a"])
        written(store.directory, host="node7", place="another", pid=99)
        store.plan(["a", "b"])

    monkeypatch.setattr(arm, "_train_with_ranks", train)
    written(store.directory, pid=os.getppid(), start=lease._start_time(os.getppid()))
    with pytest.raises(HeldError, match="process 99 on node7"):
        arm.train_rank(config, Ranks(number=0))
    assert store.planned == ("a",)
    assert path_of(store.directory).exists()
