"""A crew on Ray Data: names of shards -> an actor pool, a worker each -> the rows of a shard.

Ray starts an actor that died again and gives its shards to those that are left; names stream
through, and rows come back as they are made. What a worker raises comes back as a
value, since Ray would try again what is raised.
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
from asymreinforce.config.ray import RayConfig
from asymreinforce.errors import AsymreinforceError, ConfigError, EngineError
from asymreinforce.progress import say
from asymreinforce.workers import MakeShards, ShardResult, Shards, StartWorker

WAITING_SHARDS = 2
"""Shards at an actor, the one at work included: the next is there when it is done."""
REPLY = pa.schema(
    [("shard", pa.string()), ("rows", pa.binary()), ("facts", pa.string()), ("error", pa.string())]
)


class Ledger:
    """Counts how often each shard was begun: a shard that kills its workers is told by that."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, name: str) -> int:
        """Count, and return, how often a shard was begun."""
        self._begun[name] = self._begun.get(name, 0) + 1
        return self._begun[name]


class Actor:
    """Holds a worker, which starts at its first shard, and answers names with rows.

    It refuses a shard that was begun `tries` times before: each time its worker died of it. With no
    `ledger` (a Ray actor of `Ledger`) nothing is counted.
    """

    def __init__(self, start: StartWorker, ledger: Any = None, tries: int = 1) -> None:
        self._start, self._ledger, self._tries = start, ledger, tries
        self._stack = contextlib.ExitStack()
        self._make: MakeShards | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Take one name of a shard; return one row of `REPLY`."""
        (name,) = batch.column("item").to_pylist()
        reply: dict[str, Any] = {"shard": name}
        try:
            self._refuse_a_killer(name)
            if self._make is None:
                self._make = self._stack.enter_context(self._start())
            ((_, result),) = self._make([name])
            reply |= {"rows": pack_table(result.rows), "facts": json.dumps(result.facts)}
        except AsymreinforceError as error:
            reply["error"] = json.dumps({"kind": type(error).__name__, "error": str(error)})
        except Exception as error:  # a defect: tried again it would be the same
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
    """A crew of `workers` actors, each with `cpus` cores and `gpus` GPUs.

    `gpus` None: `devices` of them where the cluster has any, else none.
    """

    config: RayConfig
    workers: int
    cpus: int
    gpus: float | None = 0.0
    devices: int = 0

    def __call__(self, start: StartWorker, names: Sequence[str]) -> Shards:
        """Make shards on the cluster. Raises what a worker raised, and `EngineError` for Ray's."""
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
        # A shard that waits behind one that kills its worker is tried again as often as that one.
        retries = {"max_restarts": -1, "max_task_retries": tries * len(names)}
        shards = ray.data.from_items(list(names), override_num_blocks=len(names))
        pool = ray.data.ActorPoolStrategy(
            size=min(self.workers, len(names)), max_tasks_in_flight_per_actor=WAITING_SHARDS
        )
        with warnings.catch_warnings():
            # to be renamed in 2.64, which the extra leaves out; nothing else bounds the retries
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
    """Join the cluster, or start one of `cpus` cores here; leave it after, and end what was begun.

    Raises `ConfigError` where Ray is not installed or there is no cluster.
    """
    # read when ray is imported; nothing is reported to anyone
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Ray's own is 15: a 28th of what other processes of the same scheduling group would get
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Ray Data's own way of giving actors their arguments makes Ray's core warn at each start.
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
    """Return a table as bytes: one value of a row, whose columns are no business of Ray's."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    value: bytes = sink.getvalue().to_pybytes()
    return value


def unpack_table(value: bytes) -> pa.Table:
    """Return what `pack_table` made bytes of."""
    return pa.ipc.open_stream(value).read_all()


def _error_of_reply(reply: dict[str, str]) -> AsymreinforceError:
    kind = getattr(errors, reply["kind"], AsymreinforceError)
    error: AsymreinforceError = kind(reply["error"])
    return error


def _reason(error: Exception) -> str:
    """The last line of Ray's message, which holds the cause; those before it are a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:300]}" if lines else type(error).__name__
