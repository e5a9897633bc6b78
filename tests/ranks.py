"""Run a function in two ranks, forked from the server that has imported the library."""

import os
import socket
from collections.abc import Callable
from typing import Any

import torch

from asymreinforce.update.ranks import join_ranks
from tests.killing import FORKSERVER

SECONDS = 120


def together(function: Callable[..., Any], *arguments: Any, nodes_apart: bool = False) -> Any:
    """Call `function(ranks, ...)` in two ranks over gloo; return what the first one returned.

    `nodes_apart`: each stands for a node of its own.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    receiver, sender = FORKSERVER.Pipe(duplex=False)
    processes = [
        FORKSERVER.Process(
            target=_run, args=(number, port, nodes_apart, sender, function, arguments)
        )
        for number in range(2)
    ]
    for process in processes:
        process.start()
    sender.close()  # the ranks' copies are left, and the first one's alone is used
    found = receiver.recv() if receiver.poll(SECONDS) else None
    assert [_ended(process) for process in processes] == [0, 0]
    return found


def _ended(process: Any) -> int | None:
    process.join(SECONDS)
    code: int | None = process.exitcode
    if code is None:
        process.kill()
    return code


def _run(
    number: int,
    port: int,
    nodes_apart: bool,
    sender: Any,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    local = "1" if nodes_apart else "2"
    os.environ |= {"RANK": str(number), "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    os.environ |= {"LOCAL_WORLD_SIZE": local, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with join_ranks("cpu", nodes_apart=nodes_apart) as ranks:
        found = function(ranks, *arguments)
        if ranks.is_first:
            sender.send(found)
