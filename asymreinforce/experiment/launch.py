"""Start the ranks of an arm by torchrun, show their progress, and report a failure in one line.

The configuration is composed once, in this process; ranks read it from a file. Three pipes join
this process to the ranks, through torchrun:

    standard output   events, one JSON object a line: progress, and how a rank failed
    standard error    everything that libraries print, into a log file
    standard input    nothing; ranks stop when it is closed, as it is if this process dies
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
    """Train an arm by `train.processes` ranks on this node; return when all ranks are done.

    With several nodes, the same command runs on each node, and the nodes meet at
    `train.rendezvous`. If ranks run out of memory, they are started again from the last
    checkpoint with packed rows of half as many tokens. Raises the error of a rank, or
    `TrainingError` if a rank died.
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
        if config.train.nodes > 1:  # the commands of other nodes do not know the new row size
            raise DeviceMemoryError(
                f"{error}; run the same command on every node again: it goes on from the last "
                f"checkpoint with rows of {error.rows} tokens"
            )
        say(f"{error}: rows of {error.rows} tokens from the last checkpoint on")


def _run_ranks(
    config: ExperimentConfig, store: Store, *, worker: str, log: Path
) -> AsymreinforceError | None:
    """Start this node's ranks and wait for them; return the error of a rank, or None."""
    settings = str(store.directory / CONFIG)
    command = [*torchrun_command(config.train, name=store.hash), "-m", worker, settings]
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,  # Ctrl-C reaches this process alone, which stops the ranks
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
    """Return the torchrun command of this node's ranks, without the module that they run."""
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
    """Show the progress events of ranks as they come; return the failure events in order."""
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
    except ValueError:  # a library's print, from a process that is not a rank
        return {}
    return event if isinstance(event, dict) else {}


def _error_to_raise(
    failures: list[dict[str, Any]], *, code: int, ranks: int, log: Path
) -> AsymreinforceError:
    """Return the first error that the user can fix, else a `TrainingError`."""
    # errors of other kinds are often a consequence of that error in other ranks
    for failure in failures:
        kind = getattr(errors, failure["kind"], None)
        if kind is DeviceMemoryError:
            # with the row size, from which `launch_ranks` starts the ranks again
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
    """Close the input of the ranks, so that they stop; kill torchrun if that takes too long."""
    assert process.stdin
    process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS_TO_STOP)
        return
    process.kill()
    process.wait()
