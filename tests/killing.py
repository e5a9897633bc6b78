"""Run a function in a process that is killed at a chosen failpoint.

Children are forked from a server that has imported the library and done nothing else, so that
hundreds of kills take seconds, and no thread of this process is forked.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(
    [
        "tests.made",
        "asymreinforce.stages.train",
        "asymreinforce.stages.generate",
        "asymreinforce.update.sharding",
        "transformers.models.llama.modeling_llama",
        "transformers.models.qwen2.modeling_qwen2",
    ]
)


def _run(
    function: Callable[..., Any], arguments: tuple[Any, ...], settings: dict[str, str]
) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ.update(settings)
    function(*arguments)


def run(
    function: Callable[..., Any], *arguments: Any, patience_s: float = 600, **settings: str
) -> int:
    """Run in a child with environment variables; return its exit code, -9 where it was killed."""
    process = FORKSERVER.Process(target=_run, args=(function, arguments, settings))
    process.start()
    process.join(patience_s)
    assert process.exitcode is not None, "the child hangs"
    return process.exitcode


def failpoints(log: Path, function: Callable[..., Any], *arguments: Any) -> list[str]:
    """Run untouched; return the names of the failpoints passed, in order."""
    assert run(function, *arguments, ASYMRL_FAILPOINT_LOG=str(log)) == 0
    return log.read_text().splitlines()


def kill_at(number: int, function: Callable[..., Any], *arguments: Any) -> None:
    """Run until the failpoint of that number (from 1), where the process is killed."""
    assert run(function, *arguments, ASYMRL_FAILPOINT=str(number)) == -signal.SIGKILL
