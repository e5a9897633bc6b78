"""What vLLM is asked for on CUDA, by a stand-in; overlap and prefix caching, by the real one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from asymreinforce.config import SamplingConfig
from asymreinforce.engines import Job
from asymreinforce.engines.vllm_engine import VllmEngine
from asymreinforce.engines.vllm_features import ON_CPU, ON_GPU, Features, features_of
from asymreinforce.errors import EngineError
from tests.engines.test_engines import largest_error_of, settings, spread_out

pytestmark = pytest.mark.vllm
SAMPLING = SamplingConfig(samples_per_prompt=3, max_tokens=4)


class Weights:
    """Stands for `vllm.LLM` on CUDA: it sleeps, and refuses what the real one cannot do.

    Keys and values that it cached answer for a prompt until they are forgotten: a completion says
    whose weights it comes from.
    """

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.omp_threads = os.environ.get("OMP_NUM_THREADS")
        self.processes = os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"]
        self.weights: str | None = arguments["model"]
        self.cached: dict[tuple[int, ...], str] = {}
        self.did: list[str] = []
        self.seeds: list[int | None] = []
        self.sleeping = False
        self.queued: list[Any] = []
        self.llm_engine = self
        self.engine_core = SimpleNamespace(shutdown=lambda: self.did.append("shutdown"))

    def sleep(self, level: int) -> None:
        self.did.append(f"sleep {level}")
        self.sleeping, self.weights = True, None

    def wake_up(self) -> None:
        assert self.sleeping
        self.did.append("wake")
        self.sleeping = False

    def collective_rpc(self, method: Any, args: Any = (), kwargs: Any = None) -> None:
        assert not self.sleeping
        if method == "reload_weights":
            self.weights = kwargs["weights_path"]
        self.did.append(method if isinstance(method, str) else method.__name__)

    def reset_prefix_cache(self) -> bool:
        self.did.append("forget")
        self.cached = {}
        return True

    def add_request(self, request_id: str, prompt: Any, params: Any) -> None:
        assert not self.sleeping and self.weights
        self.seeds += [params.seed if params.seed is None else params.seed + i for i in range(3)]
        self.queued.append((request_id, tuple(prompt["prompt_token_ids"])))

    def step(self) -> list[Any]:
        assert self.weights
        request_id, prompt = self.queued.pop(0)
        told = self.cached.setdefault(prompt, self.weights)
        drawn = SimpleNamespace(
            token_ids=[ord(told[-1])], logprobs=SimpleNamespace(logprobs=[-0.5])
        )
        return [SimpleNamespace(request_id=request_id, finished=True, outputs=[drawn] * 3)]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """The stand-ins that were started in place of vLLM."""
    import vllm

    opened: list[Weights] = []

    def start(**arguments: Any) -> Weights:
        opened.append(Weights(**arguments))
        return opened[-1]

    monkeypatch.setattr(vllm, "LLM", start)
    for name in ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_WORKER_MULTIPROC_METHOD"):
        monkeypatch.setenv(name, "")  # put back at the end
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return opened


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    parent = tmp_path_factory.mktemp("checkpoints")
    return longer(spread_out(parent / "a", seed=0)), longer(spread_out(parent / "b", seed=1))


def longer(checkpoint: Path) -> Path:
    """Give a checkpoint room for prompts that fill blocks of the cache."""
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": 512}))
    return checkpoint


def engine_on(checkpoint: Path, log: Path, features: Features = ON_GPU) -> VllmEngine:
    return VllmEngine(*settings(checkpoint, "vllm"), log=log, features=features)


def test_vllm_s_own_platform_says_what_is_done() -> None:
    from vllm.platforms import current_platform

    def platform(*, cpu: bool, sleeps: bool) -> Any:
        return SimpleNamespace(
            is_cpu=lambda: cpu,
            is_sleep_mode_available=lambda: sleeps,
            is_cumem_allocator_available=lambda: sleeps,
        )

    assert features_of(platform(cpu=True, sleeps=False)) == ON_CPU
    assert features_of(platform(cpu=False, sleeps=True)) == ON_GPU
    assert features_of(platform(cpu=False, sleeps=False)) == ON_GPU._replace(sleeps=False)
    assert features_of(current_platform) == (ON_CPU if current_platform.is_cpu() else ON_GPU)


def test_on_cuda_every_completion_has_a_seed_of_its_own_and_on_cpu_none_has(
    started: list[Weights], checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    prompts = [[5, 6], [5, 6], [7]]
    for features in (ON_GPU, ON_CPU):
        engine = engine_on(checkpoints[0], tmp_path / "log", features)
        engine.load(checkpoints[0])
        list(engine.sample_jobs([Job("a", prompts, 1000), Job("b", prompts, 77)], SAMPLING))
    assert started[0].seeds == [*range(1000, 1009), *range(77, 86)]
    assert started[1].seeds == [None] * 18
    assert started[1].did == ["reseed", "reseed", "reseed", "reseed"]
    assert "reseed" not in started[0].did


def test_two_checkpoints_are_evaluated_with_the_same_seeds(
    started: list[Weights], checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    engine = engine_on(checkpoints[0], tmp_path / "log")
    for checkpoint in checkpoints:
        engine.load(checkpoint)
        engine.sample([[5], [6]], SAMPLING, seed=42)
    assert started[0].seeds[:6] == started[0].seeds[6:] == list(range(42, 48))


def test_a_reload_forgets_the_keys_and_values_of_the_weights_before(
    started: list[Weights], checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    engine = engine_on(checkpoints[0], tmp_path / "log")
    told = []
    for checkpoint in (*checkpoints, checkpoints[0]):
        engine.load(checkpoint)
        told.append(chr(engine.sample([[5]], SAMPLING, seed=0)[0][0].token_ids[0]))
    assert told == ["a", "b", "a"]
    assert started[0].arguments["enable_prefix_caching"] is True


def test_a_cache_that_will_not_forget_is_an_error(
    started: list[Weights],
    checkpoints: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_on(checkpoints[0], tmp_path / "log")
    engine.load(checkpoints[0])
    monkeypatch.setattr(started[0], "reset_prefix_cache", lambda: False)
    with pytest.raises(EngineError, match="keys and values of the earlier weights"):
        engine.load(checkpoints[1])


def test_released_it_sleeps_without_its_weights_and_wakes_at_the_next_load(
    started: list[Weights],
    checkpoints: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = checkpoints
    engine = engine_on(a, tmp_path / "log")
    engine.release()  # nothing runs yet
    engine.load(a)
    (vllm,) = started
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: vllm.did.append("trainer's memory"))
    before = len(vllm.did)
    engine.release()
    engine.release()
    with pytest.raises(EngineError, match="call load first"):
        engine.sample([[5]], SAMPLING, seed=0)
    engine.load(b)
    assert vllm.did[before:] == [
        "sleep 2",
        "trainer's memory",
        "wake",
        "reload_weights",
        "refresh_tied_head",
        "forget",
    ]
    assert chr(engine.sample([[5]], SAMPLING, seed=0)[0][0].token_ids[0]) == "b"
    assert vllm.arguments["enable_sleep_mode"] is True
    assert len(started) == 1


def test_where_it_cannot_sleep_it_stops_and_starts_again(
    started: list[Weights], checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    a, b = checkpoints
    engine = engine_on(a, tmp_path / "log", ON_GPU._replace(sleeps=False))
    engine.load(a)
    engine.release()
    assert started[0].did[-1] == "shutdown"
    engine.load(b)
    assert [vllm.arguments["enable_sleep_mode"] for vllm in started] == [False, False]


def test_on_cpu_nothing_is_released_and_prefixes_are_not_cached(
    started: list[Weights], checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    engine = engine_on(checkpoints[0], tmp_path / "log", ON_CPU)
    engine.load(checkpoints[0])
    engine.release()
    engine.sample([[5]], SAMPLING, seed=0)
    (vllm,) = started
    assert not {"sleep 2", "shutdown", "forget"} & set(vllm.did)
    assert vllm.arguments["enable_prefix_caching"] is False
    assert vllm.arguments["enable_sleep_mode"] is False


def test_on_cuda_vllm_has_a_process_of_its_own_and_chooses_its_own_threads(
    started: list[Weights], checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    for features in (ON_GPU, ON_CPU):
        engine_on(checkpoints[0], tmp_path / "log", features).load(checkpoints[0])
    on_gpu, on_cpu = started
    assert (on_gpu.processes, on_gpu.omp_threads) == ("1", None)
    assert (on_cpu.processes, on_cpu.omp_threads) == ("0", "1")
    assert "end_with" in on_gpu.did and "end_with" not in on_cpu.did
    assert os.environ["OMP_NUM_THREADS"] == "1"


LONG = [[5, 6, 7, 8] * 75 + [place] for place in range(9, 13)]
"""Prompts that share two blocks of the cache, of 128 tokens on CPU, and more."""


def test_overlapping_jobs_with_cached_prefixes_come_from_the_weights_that_are_loaded(
    checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    features = ON_CPU._replace(streams=True, caches_prefixes=True)
    config, policy = settings(checkpoints[0], "vllm")
    policy = policy.model_copy(update={"context": 512})
    engine = VllmEngine(config, policy, log=tmp_path / "log", features=features)
    sampling = SamplingConfig(samples_per_prompt=6, max_tokens=10)
    try:
        for checkpoint in (*checkpoints, checkpoints[0]):
            engine.load(checkpoint)
            jobs = [Job(f"job-{number}", LONG, number) for number in range(6)]
            left = engine.sample_jobs(jobs, sampling)
            next(left)
            left.close()  # what was begun and not finished does not come back later
            drawn = dict(engine.sample_jobs(jobs, sampling))
            assert list(drawn) == [job.name for job in jobs]
            for groups in drawn.values():
                assert [len(group) for group in groups] == [6] * 4
                assert largest_error_of(checkpoint, LONG, groups) < 1e-4
            texts = {
                str([c.token_ids for group in groups for c in group]) for groups in drawn.values()
            }
            assert len(texts) == 6
    finally:
        engine.close()


ORPHAN = """
import multiprocessing, os, sys, time
from asymreinforce.engines.vllm_worker import end_with

def core(command):
    end_with(None, command)
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=core, args=(os.getpid(),))
    process.start()
    process.join()
"""


def test_vllm_s_process_ends_when_the_command_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "command.py"
    script.write_text(ORPHAN)
    root = Path(__file__).parents[2]
    command = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert command.stdout
    core = int(command.stdout.readline())
    time.sleep(1.5)
    assert Path(f"/proc/{core}").exists()  # it lives as long as its command
    command.send_signal(signal.SIGKILL)
    command.wait()
    deadline = time.monotonic() + 20
    while is_running(core) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(core)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
