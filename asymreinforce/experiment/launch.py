"""Start the ranks of an arm by torchrun, show how they get on, and say in one line what went wrong.

The configuration is composed once, here; ranks start from the file that it is written to. Three
pipes join this process to them, through torchrun, which passes them on:

    standard output   events, one JSON object a line: what to show, and how a rank failed
    standard error    everything that libraries print: a log file
    standard input    nothing; when it ends, because this process did, ranks stop
"""

import contextlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asymreinforce import errors
from asymreinforce.config import ExperimentConfig, TrainConfig
from asymreinforce.data import files
from asymreinforce.data.arm_settings import CONFIG, publish_settings, remember_rows
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, DeviceMemoryError, TrainingError
from asymreinforce.progress import RelayedProgress, say

WORKER = "asymreinforce.experiment.worker"
SECONDS_TO_STOP = 20.0


def launch_ranks(config: ExperimentConfig, store: Store, *, worker: str = WORKER) -> None:
    """Train an arm by `train.processes` ranks on this node; return when all of them are done.

    On each of several nodes the same command is run, and they meet at `train.rendezvous`. Ranks
    that run out of memory are started again with half the tokens of a row, from the last
    checkpoint. Raises what a rank raised, or `TrainingError` where one died.
    """
    files.remove_leftovers(files.make_directory(store.directory), below=False)
    publish_settings(store, config)
    node = f"-{platform.node()}" if config.train.nodes > 1 else ""
    log = files.make_directory(config.directory / "logs") / f"ranks-{store.hash}{node}.log"
    log.unlink(missing_ok=True)
    while error := _run_ranks(config, store, worker=worker, log=log):
        if not isinstance(error, DeviceMemoryError) or error.rows is None:
            raise error
        remember_rows(store, config, error.rows)
        if config.train.nodes > 1:  # the other nodes' commands have not heard of it
            raise DeviceMemoryError(
                f"{error}; run the same command on every node again: it goes on from the last "
                f"checkpoint with rows of {error.rows} tokens"
            )
        say(f"{error}: rows of {error.rows} tokens from the last checkpoint on")


def _run_ranks(
    config: ExperimentConfig, store: Store, *, worker: str, log: Path
) -> AsymreinforceError | None:
    """Start this node's ranks and wait for them; return what went wrong in one of them."""
    settings = str(store.directory / CONFIG)
    command = [*torchrun_command(config.train, name=store.hash), "-m", worker, settings]
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,  # Ctrl-C is for this process, which stops them
        )
    try:
        assert process.stdout
        failures = follow_events(process.stdout)
        code = process.wait()
    except BaseException:
        _stop_ranks(process)
        raise
    return (
        _error_to_raise(failures, code=code, ranks=config.train.processes, log=log)
        if code
        else None
    )


def torchrun_command(config: TrainConfig, *, name: str) -> list[str]:
    """Return the command that starts this node's ranks, up to the module that they run."""
    meeting = (
        ["--rdzv-backend=c10d", f"--rdzv-endpoint={config.rendezvous}", f"--rdzv-id={name}"]
        if config.nodes > 1
        else ["--standalone"]
    )
    return [
        *(sys.executable, "-m", "torch.distributed.run", *meeting),
        *(f"--nnodes={config.nodes}", f"--nproc-per-node={config.processes}", "--max-restarts=0"),
    ]


def follow_events(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Show the events of ranks as they come; return those that tell of a failure, in order."""
    failures = []
    with RelayedProgress() as shown:
        for line in lines:
            event = _parse_event(line)
            if "error" in event:
                failures.append(event)
            else:
                shown.show(event)
    return failures


def _parse_event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:  # a library's own print, cut in by a process that is no rank
        return {}
    return event if isinstance(event, dict) else {}


def _error_to_raise(
    failures: list[dict[str, Any]], *, code: int, ranks: int, log: Path
) -> AsymreinforceError:
    """Return what to raise: what a user can mend before what came of it in other ranks."""
    for failure in failures:
        kind = getattr(errors, failure["kind"], None)
        if kind is DeviceMemoryError:
            return DeviceMemoryError(failure["error"], rows=failure["rows"])
        if kind:
            error: AsymreinforceError = kind(failure["error"])
            return error
    first = failures[0] if failures else None
    what = (
        f"rank {first['rank']}: {first['kind']}: {first['error']}"
        if first
        else f"torchrun ended with exit code {code}"
    )
    return TrainingError(
        f"a rank of {ranks} failed ({what}); the log is {log}; run the same command again to go on "
        "from the last checkpoint"
    )


def _stop_ranks(process: "subprocess.Popen[bytes]") -> None:
    """Let the ranks see the end of their input, and torchrun that they stopped."""
    assert process.stdin
    process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS_TO_STOP)
        return
    process.kill()
    process.wait()
