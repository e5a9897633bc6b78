"""Workers on Ray give the rollouts and verdicts of one process, whichever of them dies when."""

import contextlib
import functools
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

pytest.importorskip("ray.data", reason="the extra 'ray' is not installed")

from asymreinforce.config import ExperimentConfig, SamplingConfig
from asymreinforce.config.engine import RayConfig
from asymreinforce.data.store import Store
from asymreinforce.engines.protocol import Completion, Engine
from asymreinforce.errors import ConfigError, EngineError, InputError
from asymreinforce.experiment.shard_workers import generation_workers, scoring_workers
from asymreinforce.model.checkpoint import load_tokenizer
from asymreinforce.stages.generate import generate
from asymreinforce.stages.init import make_prompts
from asymreinforce.stages.score import score
from asymreinforce.workers import MakeShards, ShardResult, in_this_process, one_by_one
from asymreinforce.workers.on_ray import Actor, OnRay, join_cluster
from tests.fixtures.experiments import small_config
from tests.fixtures.fake_engine import FakeEngine
from tests.fixtures.stored_files import read_payload

TWO_WORKERS = OnRay(RayConfig(), workers=2, cpus=1)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A cluster of two cores, which every crew of this module joins."""
    with join_cluster(RayConfig(), cpus=2):
        yield


class DyingEngine(FakeEngine):
    """A fake engine that takes its process with it at its second shard, the first time."""

    def __init__(self, tokenizer: Any, died: Path) -> None:
        super().__init__(tokenizer)
        self._died = died

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig, *, seed: int
    ) -> list[list[Completion]]:
        if self.calls == 1:
            with contextlib.suppress(FileExistsError):
                self._died.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(prompts, sampling, seed=seed)


@contextlib.contextmanager
def dying_engine(policy: Path, died: Path) -> Iterator[Engine]:
    yield DyingEngine(load_tokenizer(policy), died)


def generated(config: ExperimentConfig, policy: Path, **crew: Any) -> Store:
    return generate(
        config,
        checkpoint=policy,
        prompts=make_prompts(config.task, config.directory / "prompts"),
        engine=FakeEngine(load_tokenizer(policy)),
        parent=config.directory / "rollouts",
        **crew,
    )


def scored(config: ExperimentConfig, rollouts: Store, parent: str, **crew: Any) -> Store:
    (prompts,) = (config.directory / "prompts").iterdir()
    return score(
        rollouts=rollouts,
        prompts=prompts / "train.parquet",
        parent=config.directory / parent,
        grader="final_answer",
        reward=config.reward.model_copy(update={"workers": 1}),
        **crew,
    ).store


def test_two_workers_of_which_one_is_killed_give_the_rollouts_and_verdicts_of_one_process(
    tmp_path: Path, random_policy: Path
) -> None:
    settings = {"sampling__prompts_per_shard": 4}
    here = small_config(tmp_path / "here", policy=random_policy, **settings)
    there = small_config(tmp_path / "there", policy=random_policy, **settings)
    one = generated(here, random_policy)
    died = tmp_path / "died"
    start = functools.partial(dying_engine, random_policy, died)
    two = generated(there, random_policy, crew=TWO_WORKERS, start=start)
    assert died.exists()
    assert len(two.planned) >= 6
    assert two.is_complete()
    assert read_payload(two.directory) == read_payload(one.directory)

    judged_here = scored(there, two, "here")
    judged_there = scored(there, two, "there", crew=TWO_WORKERS)
    assert judged_there.facts == judged_here.facts
    assert read_payload(judged_there.directory) == read_payload(judged_here.directory)


def niceness() -> int:
    return os.nice(0)


def test_a_worker_has_the_priority_of_the_command() -> None:
    import ray

    assert ray.get(ray.remote(num_cpus=1)(niceness).remote()) == niceness()


@contextlib.contextmanager
def refusing() -> Iterator[MakeShards]:
    """A worker to whom one name is bad input, and another a defect."""

    def make(name: str) -> ShardResult:
        if name == "bad":
            raise InputError("prompt q7 has 90 tokens")
        raise ZeroDivisionError("a defect of ours")

    yield one_by_one(make)


@contextlib.contextmanager
def dying_over_one() -> Iterator[MakeShards]:
    """A worker that one name kills, whoever has it."""

    def make(name: str) -> ShardResult:
        if name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return ShardResult(pa.table({"name": [name]}), {})

    yield one_by_one(make)


@pytest.mark.campaign
def test_a_shard_that_kills_every_worker_is_named_when_its_tries_are_used_up() -> None:
    crew = OnRay(RayConfig(tries=2), workers=2, cpus=1)
    made_before: list[str] = []
    with pytest.raises(EngineError, match=r"^deadly: 2 workers died over this shard") as refusal:
        for name, _ in crew(dying_over_one, ["a", "b", "deadly", "c", "d"]):
            made_before.append(name)
    assert "ray.tries" in str(refusal.value)
    assert {"a", "b"} <= set(made_before) <= {"a", "b", "c", "d"}


def test_what_a_worker_raises_is_raised_here() -> None:
    with pytest.raises(InputError, match="prompt q7 has 90 tokens"):
        list(OnRay(RayConfig(), workers=1, cpus=1)(refusing, ["bad"]))


def test_a_defect_in_a_worker_comes_back_as_a_value_with_its_place() -> None:
    (reply,) = Actor(refusing)(pa.table({"item": ["worse"]})).to_pylist()
    assert (reply["shard"], reply["rows"]) == ("worse", None)
    told = json.loads(reply["error"])
    assert told["kind"] == "EngineError"
    assert told["error"].startswith("worse: ZeroDivisionError: a defect of ours, at ")
    assert "test_on_ray.py:" in told["error"]


def test_more_cores_than_a_machine_has_are_asked_for_in_vain() -> None:
    crew = OnRay(RayConfig(), workers=1, cpus=64)
    with pytest.raises(ConfigError, match="a worker asks for 64 CPUs, and Ray sees 2"):
        next(crew(refusing, ["bad"]))


def test_one_worker_and_no_address_need_no_ray(config: ExperimentConfig) -> None:
    assert generation_workers(config)["crew"] is in_this_process
    assert scoring_workers(config) is None
    engine = config.engine.model_copy(update={"workers": 3, "threads": 2})
    three = config.model_copy(update={"engine": engine, "ray": RayConfig(scorers=5)})
    crew = generation_workers(three)["crew"]
    assert isinstance(crew, OnRay)
    assert (crew.workers, crew.cpus, crew.gpus, crew.devices) == (3, 2, None, 1)
    assert scoring_workers(three) == OnRay(three.ray, workers=5, cpus=config.reward.workers or 1)
