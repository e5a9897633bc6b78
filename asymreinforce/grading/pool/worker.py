"""The worker process: judges rows one after another until its stream ends, or it is killed.

`fork_server.py` forks a worker in a separate session, with a limit on the address space and on the
size of a file. The kernel ends the worker by SIGPROF if a row takes more than `cpu_limit_s` seconds
of CPU time, whatever code runs and however loaded the machine is. If a row leaves children, threads
or memory behind, the worker exits after that row, so that the next row starts in a clean process.
"""

import json
import os
import resource
import signal
import socket
import threading
import time
from typing import NoReturn

from asymreinforce.grading.graders import Grade
from asymreinforce.grading.pool.protocol import (
    OUT_OF_MEMORY,
    Heartbeat,
    Options,
    line_of,
)
from asymreinforce.grading.verdict import Verdict, failure_verdict, verdict_of

SECONDS_BETWEEN_REPORTS = 0.02
KEPT_MEMORY_SHARE = 8
"""A worker retires if it grew by more than this fraction (1/8) of its memory limit."""


def limit_resources(megabytes: int) -> int:
    """Limit the growth of this process, and the files that it writes, to `megabytes` MiB.

    Returns the present size of its address space in bytes.
    """
    size = _address_space()
    most = size + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes * 2**20, megabytes * 2**20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGPROF and kills must not fill the disk
    return size


def judge_jobs(
    stream: socket.socket,
    heartbeat: Heartbeat,
    *,
    grade: Grade,
    options: Options,
) -> NoReturn:
    """Judge the jobs of a stream until it ends; never returns, and runs no exit handlers."""
    self_pid = os.getpid()
    idle_size = limit_resources(options.memory_limit_mb)
    largest_kept = idle_size + options.memory_limit_mb * 2**20 // KEPT_MEMORY_SHARE
    try:
        for line in stream.makefile("rb"):
            judged: list[Verdict] = []
            reported = time.monotonic()
            for index, (metadata, gold_answer, text) in enumerate(json.loads(line)):
                now = time.monotonic()
                if now - reported > SECONDS_BETWEEN_REPORTS:
                    stream.sendall(line_of(judged))
                    judged, reported = [], now
                heartbeat.started, heartbeat.row = now, index
                # No handler: the kernel ends the process even in C code that never returns.
                signal.setitimer(signal.ITIMER_PROF, options.cpu_limit_s)
                judged.append(judge_row(grade, metadata, gold_answer, text))
                signal.setitimer(signal.ITIMER_PROF, 0)
                if os.getpid() != self_pid:
                    os._exit(0)  # the grader forked, and this is the child
                heartbeat.started = 0.0
                if _left_something(largest_kept):
                    stream.sendall(line_of(judged))
                    os._exit(0)
            stream.sendall(line_of(judged))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BaseException:
        os._exit(1)  # the stream is gone: the parent died, or the grader closed it
    os._exit(0)


def judge_row(grade: Grade, metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Call a grader; an exception makes an `error` verdict, but `MemoryError` ends the process."""
    try:
        return verdict_of(grade(metadata, gold_answer, text))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BaseException as error:  # SystemExit and KeyboardInterrupt are a grader's errors too
        return failure_verdict(error)


def _left_something(largest_kept: int) -> bool:
    return _has_children() or threading.active_count() > 1 or _address_space() > largest_kept


def _has_children() -> bool:
    """Reap the children that ended; return whether another is alive."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _address_space() -> int:
    with open("/proc/self/statm", "rb", buffering=0) as stream:  # noqa: PTH123
        return int(stream.read(32).split()[0]) * resource.getpagesize()
