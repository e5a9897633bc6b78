"""A pool of grader processes that can be killed: a bad row fails alone, without its neighbours.

    with GraderPool("math", workers=2, cpu_limit_s=5.0, memory_limit_mb=1024) as pool:
        for verdict in pool.grade(rows):      # in the order of the rows, as they come
            ...

Rows travel in jobs of many, but each row has its own clock: a heartbeat names the row that a worker
starts. The limit is CPU time, so that no verdict depends on the load of the machine. A row that
passes the limit is wrong with a built-in grader, and a `timeout` with a user's grader. A row that
sleeps past a generous wall clock is a `timeout` too. A row whose worker died or reached the memory
limit is tried once more, alone in a fresh worker, and is an `error` if that worker dies too. A
verdict thus depends neither on the rows before it nor on the number of workers. The other rows of
the job are graded again.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import queue
import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import Self

from asymreinforce.config import RewardConfig
from asymreinforce.errors import AsymreinforceError
from asymreinforce.grading.extraction import Reasoning
from asymreinforce.grading.pool.client import Client, Ending, Worker
from asymreinforce.grading.pool.protocol import OUT_OF_MEMORY, Options
from asymreinforce.grading.verdict import LATE, GradedRow, Verdict
from asymreinforce.plugins import is_plugin

UNDELIVERED_ROWS = 4_096
"""Rows taken from the source and not yet yielded: the bound on memory while a slow row blocks."""
JOB_ROWS, JOB_CHARACTERS, JOB_SECONDS = 512, 1 << 20, 0.05
JOBS_PER_WORKER = 2
"""Jobs that wait or run, so that a worker need not wait for the caller."""
WALL_CLOCK = 12.0
"""Default wall-clock limit of a row, as a multiple of its CPU limit."""


class GraderPool:
    """Worker processes for one grader; leaving the `with` block ends them all.

    Entering raises `ConfigError` if the grader cannot be imported.
    """

    def __init__(
        self,
        grader: str,
        *,
        workers: int,
        cpu_limit_s: float,
        memory_limit_mb: int,
        wall_limit_s: float | None = None,
        reasoning: Reasoning = "marked",
    ) -> None:
        self._options = Options(grader, reasoning, workers, cpu_limit_s, memory_limit_mb)
        self._wall_limit_s = wall_limit_s or WALL_CLOCK * cpu_limit_s
        self._job_rows = 1

    def __enter__(self) -> Self:
        """Start the processes and wait until the grader is imported."""
        with contextlib.ExitStack() as stack:
            # A thread waits for each worker. All threads end once the server is gone.
            self._threads = concurrent.futures.ThreadPoolExecutor(self._options.workers)
            stack.callback(self._threads.shutdown, cancel_futures=True)
            client = Client(self._options, wall_limit_s=self._wall_limit_s)
            stack.callback(client.close)
            self._workers = client.workers
            self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
            for worker in self._workers:
                self._idle.put(worker)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill the workers and all their children."""
        self._stack.close()
        for worker in self._workers:
            worker.close()

    def grade(self, rows: Iterable[GradedRow]) -> Generator[Verdict, None, None]:
        """Yield one verdict for each row, in order; reads at most `UNDELIVERED_ROWS` rows ahead."""
        source, undelivered = iter(rows), 0
        jobs: collections.deque[concurrent.futures.Future[list[Verdict]]] = collections.deque()
        stop = threading.Event()
        try:
            while True:
                running = [job for job in jobs if not job.done()]
                while len(running) < JOBS_PER_WORKER * len(self._workers):
                    if undelivered >= UNDELIVERED_ROWS or not (part := self._next_rows(source)):
                        break
                    running.append(self._threads.submit(self._judge_job, part, stop))
                    jobs.append(running[-1])
                    undelivered += len(part)
                if not jobs:
                    return
                concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                while jobs and jobs[0].done():
                    for verdict in jobs.popleft().result():
                        yield verdict
                        undelivered -= 1
        finally:
            stop.set()
            if jobs:  # the caller stopped reading, and nobody waits for these verdicts
                for worker in self._workers:
                    with contextlib.suppress(AsymreinforceError):
                        worker.kill()

    def _next_rows(self, source: Iterator[GradedRow]) -> list[GradedRow]:
        rows: list[GradedRow] = []
        characters = 0
        for row in itertools.islice(source, self._job_rows):
            rows.append(row)
            characters += len(row.text) + len(row.gold_answer) + len(row.metadata or "")
            if characters > JOB_CHARACTERS:
                break
        return rows

    def _judge_job(self, rows: list[GradedRow], stop: threading.Event) -> list[Verdict]:
        worker, started = self._idle.get(), time.monotonic()
        try:
            verdicts = self._judge_rows(worker, rows, stop)
        finally:
            self._idle.put(worker)
        # Jobs should last about `JOB_SECONDS`: many rows if rows are cheap, one row if not.
        fitting = int(len(rows) * JOB_SECONDS / max(time.monotonic() - started, 1e-6))
        self._job_rows = max(1, min(fitting, 2 * self._job_rows, JOB_ROWS))
        return verdicts

    def _judge_rows(
        self, worker: Worker, rows: list[GradedRow], stop: threading.Event
    ) -> list[Verdict]:
        """Return a verdict for each row, from as many processes as it takes."""
        verdicts: list[Verdict] = []
        verdict_of_culprit: dict[int, Verdict] = {}
        while (first := len(verdicts)) < len(rows) and not stop.is_set():
            if first in verdict_of_culprit:
                verdicts.append(verdict_of_culprit[first])
                continue
            # A culprit's verdict comes before those of earlier rows that it took along.
            end = min((row for row in verdict_of_culprit if row > first), default=len(rows))
            judged, ending = worker.judge(rows[first:end])
            verdicts += judged
            if ending is not None and ending.row is not None:
                culprit = first + ending.row
                verdict_of_culprit[culprit] = self._judge_culprit(worker, rows[culprit], ending)
        return verdicts

    def _judge_culprit(self, worker: Worker, row: GradedRow, ending: Ending) -> Verdict:
        """Give the row that ended a worker a verdict, or a second try in the fresh worker."""
        for is_alone in (False, True):
            if ending.code == -signal.SIGPROF:
                return self._out_of_cpu_time()
            if ending.is_overdue:
                message = f"ran for more than {self._wall_limit_s:g} s"
                return Verdict(None, None, "timeout", message)
            if not is_alone:  # an earlier row of the process may be to blame
                judged, again = worker.judge([row])
                if again is None:
                    return judged[0]
                ending = again
        return Verdict(None, None, "error", self._reason_of_exit(ending.code))

    def _out_of_cpu_time(self) -> Verdict:
        message = f"{LATE} {self._options.cpu_limit_s:g} s"
        if is_plugin(self._options.grader):
            return Verdict(None, None, "timeout", message)
        return Verdict(0.0, None, "ok", message)

    def _reason_of_exit(self, code: int) -> str:
        if code == OUT_OF_MEMORY:
            return f"needed more than {self._options.memory_limit_mb} MB"
        return f"killed by signal {-code}" if code < 0 else f"ended its process with code {code}"


def grader_pool(grader: str, reward: RewardConfig, *, workers: int | None = None) -> GraderPool:
    """Return a pool with the limits of `reward`; `workers` defaults to `reward.workers`, else to 1.

    Raises the errors of `GraderPool`.
    """
    return GraderPool(
        grader,
        workers=workers or reward.workers or 1,
        cpu_limit_s=reward.cpu_limit_s,
        reasoning=reward.reasoning,
        memory_limit_mb=reward.memory_limit_mb,
    )
