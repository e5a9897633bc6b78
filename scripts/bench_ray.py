"""Generate on Ray with one and two workers, and with a killed worker; compare bytes and rates.

    python scripts/bench_ray.py [--engine vllm --prompts 4800 --repeats 3]

Each worker has one core and one engine thread. Rates leave out the start of engines: they count the
shards after every worker has finished its first, until one worker is idle. The wall-clock rate
depends on other work on the machine. The rate per CPU-second of the workers does not, and its ratio
is the cost of a second worker to the first.
"""

import argparse
import contextlib
import functools
import hashlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

from asymreinforce.config import ExperimentConfig, parse_config
from asymreinforce.config.engine import RayConfig
from asymreinforce.data.store import Store
from asymreinforce.engines import open_engine
from asymreinforce.experiment.inputs import run_init
from asymreinforce.experiment.shard_workers import start_worker_engine
from asymreinforce.stages.generate import generate
from asymreinforce.workers import MakeShards, ShardResult, Shards, StartWorker
from asymreinforce.workers.on_ray import OnRay, join_cluster

ALLOWED_RATIO = 1.6
SAMPLES, SHARD = 4, 400
"""Samples per prompt, and completions per shard."""
HEADING = (
    "| workers | completions/s | completions/CPU-s | the command's CPU-ms a shard | shards "
    "| rollouts |"
)


class Shard(NamedTuple):
    """The times of one shard in its worker (seconds of the epoch), and its cost (CPU seconds)."""

    worker: int
    began: float
    ended: float
    cpu: float
    rows: int


class Rate(NamedTuple):
    """Completions of all workers per wall-clock second and per CPU-second of the workers.

    `command` is the cost of a shard in the publishing process, in CPU-seconds.
    """

    wall: float
    cpu: float
    shards: int
    command: float


@contextlib.contextmanager
def timed(start: StartWorker, notes: Path) -> Iterator[MakeShards]:
    """Yield a worker that records the cost of each shard."""
    with start() as make:

        def noted(name: str) -> ShardResult:
            began, cpu = time.time(), time.process_time()
            made = make(name)
            shard = Shard(
                os.getpid(), began, time.time(), time.process_time() - cpu, len(made.rows)
            )
            with (notes / f"{os.getpid()}.jsonl").open("a") as stream:
                stream.write(json.dumps(shard) + "\n")
            return made

        yield noted


class Watched(NamedTuple):
    """Workers that record their shards, one of which may be killed at a shard."""

    crew: OnRay
    notes: Path
    kill_at: int | None
    seen: list[float]
    """CPU-seconds of this process at the arrival of each shard."""

    def __call__(self, start: StartWorker, names: Sequence[str]) -> Shards:
        """Make shards; after the `kill_at`th, kill the worker with the latest record."""
        shards = self.crew(functools.partial(timed, start, self.notes), names)
        for number, shard in enumerate(shards):
            self.seen.append(time.process_time())
            yield shard
            if number == self.kill_at:
                last = max(self.notes.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
                os.kill(int(last.stem), signal.SIGKILL)


def rate_of(notes: Path, *, command: float) -> Rate:
    """Return the rate of the shards between the warm-up of all workers and the first idle worker.

    `command` is the CPU-seconds of the publishing process from the first shard to the last.
    """
    workers: list[list[Shard]] = [
        [Shard(*json.loads(line)) for line in path.read_text().splitlines()]
        for path in notes.glob("*.jsonl")
    ]
    warm = max(shards[0].ended for shards in workers)
    idle = min(shards[-1].ended for shards in workers)
    counted = [s for shards in workers for s in shards if s.began >= warm and s.ended <= idle]
    rows = sum(shard.rows for shard in counted)
    # Each worker counts from its first to its last counted shard, so no shard is counted in part.
    wall = 0.0
    for shards in workers:
        own = [s for s in shards if s in counted]
        wall += sum(s.rows for s in own) / (own[-1].ended - own[0].began)
    published = sum(map(len, workers)) - 1
    cpu = rows / sum(shard.cpu for shard in counted)
    return Rate(wall, cpu, len(counted), command / published)


def run(
    config: ExperimentConfig, checkpoint: Path, prompts: Store, *, workers: int, kill: bool = False
) -> tuple[str, Rate | None]:
    """Generate the whole set from the start; return the hash of its bytes, and the rate."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        notes.mkdir()
        crew = OnRay(RayConfig(), workers=workers, cpus=config.engine.threads)
        watched = Watched(crew, notes, kill_at=2 if kill else None, seen=[])
        with open_engine(config.engine, config.policy, log=notes / "log") as engine:
            store = generate(
                config,
                checkpoint=checkpoint,
                prompts=prompts,
                engine=engine,
                parent=Path(folder),
                crew=watched,
                start=functools.partial(start_worker_engine, config, Path(folder) / "logs"),
            )
        sums = {name: store.path(name).read_bytes() for name in store.planned}
        digest = hashlib.sha256(b"".join(sums[name] for name in sorted(sums))).hexdigest()[:16]
        command = watched.seen[-1] - watched.seen[0]
        return digest, None if kill else rate_of(notes, command=command)


def settings(folder: Path, *, engine: str, prompts: int) -> ExperimentConfig:
    """Return settings with the embedded policy, a short warm-up, and shards of 100 prompts."""
    values: dict[str, Any] = {
        "name": "bench",
        "runs_dir": folder,
        "baseline": -0.1,
        "task": {
            "name": "cups",
            "train": prompts,
            "validation": 1,
            "held_out": 1,
            "grader": "final_answer",
        },
        "policy": {"embedded": {"warm_up": {"steps": 60, "questions": 500}}},
        "engine": {"name": engine},
        "sampling": {
            "samples_per_prompt": SAMPLES,
            "samples_per_block": SAMPLES,
            "prompts_per_shard": SHARD // SAMPLES,
            "max_tokens": 16,
        },
        "evaluation": {"sampling": {"samples_per_prompt": 1, "max_tokens": 16}},
        "optim": {"lr": 1e-4, "trajectories_per_step": 32},
    }
    return parse_config(values)


def main() -> int:
    """Print a table; return 1 if bytes differ or two workers are not fast enough."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engine", choices=["vllm", "transformers"], default="vllm")
    parser.add_argument("--prompts", type=int, default=4_800)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, join_cluster(RayConfig(), cpus=2):
        config = settings(Path(folder), engine=chosen.engine, prompts=chosen.prompts)
        checkpoint, prompts = run_init(config)
        one_set: Callable[..., tuple[str, Rate | None]] = functools.partial(
            run, config, checkpoint, prompts
        )
        print(HEADING)
        print("| --- | --- | --- | --- | --- | --- |")
        digests, ratios, bounds = set(), [], []
        for _ in range(chosen.repeats):
            rates = {}
            for workers in (1, 2):
                digest, rate = one_set(workers=workers)
                assert rate
                digests.add(digest)
                rates[workers] = rate
                print(
                    f"| {workers} | {rate.wall:.0f} | {rate.cpu:.0f} | {rate.command * 1000:.0f} "
                    f"| {rate.shards} | {digest} |",
                    flush=True,
                )
            ratios.append((rates[2].wall / rates[1].wall, 2 * rates[2].cpu / rates[1].cpu))
            shard = SHARD / rates[2].cpu  # CPU-seconds of a worker
            bounds.append(ratios[-1][1] * shard / (shard + rates[2].command))
        digest, _ = one_set(workers=2, kill=True)
        digests.add(digest)
        print(f"| 2, one killed | | | | | {digest} |")
    bound = sorted(bounds)[len(bounds) // 2]
    print(f"two cores full of two workers and the command: {bound:.2f} times one worker, at most")
    load = os.getloadavg()[0]
    wall, cpu = (sorted(kind)[len(ratios) // 2] for kind in zip(*ratios, strict=True))
    print(f"two workers to one, medians: {wall:.2f} by the clock, {cpu:.2f} by CPU time")
    print(f"load of the machine at the end: {load:.1f} on {os.cpu_count()} cores")
    print(f"rollouts {'identical' if len(digests) == 1 else 'DIFFER'}")
    return int(len(digests) > 1 or wall < ALLOWED_RATIO)


if __name__ == "__main__":
    raise SystemExit(main())
