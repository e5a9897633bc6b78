"""Workers on Ray Data: names of shards -> a pool of actors with a worker each -> rows of shards.

Ray restarts an actor that died and gives its shards to the other actors. Names stream to the pool,
and rows come back as they are made.
"""

import contextlib
import json
import logging
import os
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from asymreinforce import errors
from asymreinforce.config.engine import RayConfig
from asymreinforce.errors import AsymreinforceError, ConfigError, EngineError
from asymreinforce.progress import say
from asymreinforce.workers import MakeShards, ShardResult, Shards, StartWorker

WAITING_SHARDS = 2
"""Shards in flight per actor: one at work, and the next so that the actor never waits."""
REPLY = pa.schema(
    [("shard", pa.string()), ("rows", pa.binary()), ("facts", pa.string()), ("error", pa.string())]
)


class Ledger:
    """Counts how often each shard was begun, to recognize a shard that kills its workers."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, name: str) -> int:
        """Count a start of a shard; return how often the shard was begun."""
        self._begun[name] = self._begun.get(name, 0) + 1
        return self._begun[name]


class Actor:
    """Holds a worker, which starts at the first shard, and makes shards by name.

    A shard that was begun `tries` times before is refused, because its worker died each time.
    Without a `ledger` (a Ray actor of `Ledger`) nothing is counted.
    """

    def __init__(self, start: StartWorker, ledger: Any = None, tries: int = 1) -> None:
        self._start, self._ledger, self._tries = start, ledger, tries
        self._stack = contextlib.ExitStack()
        self._make: MakeShards | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Make the shard that a batch of one name asks for; return one row of `REPLY`."""
        (name,) = batch.column("item").to_pylist()
        reply: dict[str, Any] = {"shard": name}
        try:
            self._refuse_a_killer(name)
            if self._make is None:
                self._make = self._stack.enter_context(self._start())
            ((_, result),) = self._make([name])
            reply |= {"rows": pack_table(result.rows), "facts": json.dumps(result.facts)}
        # An error comes back as a value, because Ray would retry a shard whose worker raises.
        except AsymreinforceError as error:
            reply["error"] = json.dumps({"kind": type(error).__name__, "error": str(error)})
        except Exception as error:  # a defect, which a retry would repeat
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {error}, at {where.filename}:{where.lineno}"
            reply["error"] = json.dumps({"kind": "EngineError", "error": f"{name}: {said}"})
        return pa.Table.from_pylist([reply], schema=REPLY)

    def _refuse_a_killer(self, name: str) -> None:
        if self._ledger is None:
            return
        import ray

        if ray.get(self._ledger.begin.remote(name)) > self._tries:
            raise EngineError(
                f"{name}: {self._tries} workers died over this shard, and no more are tried "
                "(ray.tries); is there not enough memory for it? What is finished is kept, and the "
                "same command goes on from there"
            )


@dataclass(frozen=True)
class OnRay:
    """A pool of `workers` actors, each with `cpus` cores and `gpus` GPUs.

    `gpus=None` means `devices` GPUs each if the cluster has GPUs, else none.
    """

    config: RayConfig
    workers: int
    cpus: int
    gpus: float | None = 0.0
    devices: int = 0

    def __call__(self, start: StartWorker, names: Sequence[str]) -> Shards:
        """Make shards on the cluster; raises a worker's error, and `EngineError` if Ray fails."""
        with join_cluster(self.config, cpus=self.workers * self.cpus):
            try:
                yield from self._make_shards(start, names)
            except AsymreinforceError:
                raise
            except Exception as error:
                raise EngineError(
                    f"a worker on Ray failed ({_reason(error)}); what is finished is kept, run the "
                    "same command again to go on; Ray's own logs are in /tmp/ray/session_latest/"
                    "logs of the node"
                ) from error

    def _make_shards(self, start: StartWorker, names: Sequence[str]) -> Shards:
        import ray
        import ray.data

        gpus = self._gpus_of_worker()
        tries = self.config.tries
        ledger = ray.remote(num_cpus=0)(Ledger).remote()
        # A shard that waits behind a shard that kills its worker is retried as often as that shard.
        retries = {"max_restarts": -1, "max_task_retries": tries * len(names)}
        shards = ray.data.from_items(list(names), override_num_blocks=len(names))
        pool = ray.data.ActorPoolStrategy(
            size=min(self.workers, len(names)), max_tasks_in_flight_per_actor=WAITING_SHARDS
        )
        with warnings.catch_warnings():
            # ray_remote_args_fn is the only option that bounds the retries; Ray 2.64, which the
            # extra 'ray' excludes, renames it.
            warnings.simplefilter("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*ray_remote_args_fn.*")
            replies = shards.map_batches(
                Actor,
                fn_constructor_args=(start, ledger, tries),
                batch_size=1,
                batch_format="pyarrow",
                compute=pool,
                num_cpus=self.cpus,
                num_gpus=gpus,
                ray_remote_args_fn=lambda: retries,
            )
        for block in replies.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        ):
            for reply in block.to_pylist():
                if reply["error"]:
                    raise _error_of_reply(json.loads(reply["error"]))
                yield (
                    reply["shard"],
                    ShardResult(unpack_table(reply["rows"]), json.loads(reply["facts"])),
                )

    def _gpus_of_worker(self) -> float:
        import ray

        resources = ray.cluster_resources()
        gpus = self.gpus
        if gpus is None:
            gpus = float(self.devices) if resources.get("GPU") else 0.0
        for kind, wanted in (("CPU", float(self.cpus)), ("GPU", gpus)):
            have, all_of_them = resources.get(kind, 0.0), wanted * self.workers
            if have < wanted and self.config.address in (None, "local"):
                raise ConfigError(
                    f"a worker asks for {wanted:g} {kind}s, and Ray sees {have:g} on this machine; "
                    "lower ray.gpus_per_worker, engine.tensor_parallel_size or engine.threads"
                )
            if have < all_of_them:
                say(
                    f"ray: {self.workers} workers ask for {all_of_them:g} {kind}s, the cluster has "
                    f"{have:g}; it starts as many as fit"
                )
        return gpus


@contextlib.contextmanager
def join_cluster(config: RayConfig, *, cpus: int) -> Iterator[None]:
    """Join the cluster, or start a local one with `cpus` cores; disconnect or stop it afterwards.

    Raises `ConfigError` if Ray is not installed or the cluster cannot be reached.
    """
    # Ray reads these variables when it is imported. No usage statistics leave the machine.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Ray's default niceness is 15: a 28th of the CPU time of other processes in the same group.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Ray's core warns at each start about how Ray Data passes arguments to actors.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError(
            f"Ray Data does not import ({error}); install the extra 'ray', or set engine.workers=1 "
            "and ray.scorers=0"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    if ray.is_initialized():
        yield
        return
    address = config.address or "local"
    options = {"num_cpus": cpus, "include_dashboard": False} if address == "local" else {}
    say(f"ray: {'starting a cluster here' if options else f'joining the cluster at {address}'}")
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"ray.address={address}: {_reason(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def pack_table(rows: pa.Table) -> bytes:
    """Return a table as bytes, for one field of `REPLY`: Ray sees none of the table's columns."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    value: bytes = sink.getvalue().to_pybytes()
    return value


def unpack_table(value: bytes) -> pa.Table:
    """Return the table that `pack_table` packed."""
    return pa.ipc.open_stream(value).read_all()


def _error_of_reply(reply: dict[str, str]) -> AsymreinforceError:
    kind = getattr(errors, reply["kind"], AsymreinforceError)
    error: AsymreinforceError = kind(reply["error"])
    return error


def _reason(error: Exception) -> str:
    """Return the error's type and the last line of its message."""
    # Ray puts a traceback before the cause.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:300]}" if lines else type(error).__name__
