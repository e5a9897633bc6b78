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
import contextlib
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import Self

from asymreinforce.errors import AsymreinforceError
from asymreinforce.grading.pool.client import Client
from asymreinforce.grading.pool.protocol import (
    OUT_OF_MEMORY,
    RETIRED,
    Heartbeat,
    Lines,
    Options,
    line_of,
)
from asymreinforce.grading.pool.slots import GradingJob, WorkerSlot
from asymreinforce.grading.reasoning import Reasoning
from asymreinforce.grading.verdict import LATE, GradedRow, Verdict
from asymreinforce.plugins import is_plugin

SEND_LIMIT_S = 30.0
"""Time for a worker to receive and begin a job: far more than a healthy worker needs."""
UNDELIVERED_ROWS = 4_096
"""Rows taken from the source and not yet yielded: the bound on memory while a slow row blocks."""
JOB_ROWS, JOB_CHARACTERS, JOB_SECONDS = 512, 1 << 20, 0.05
FIRST_JOB_ROWS = 16
NOT_BEGUN = Heartbeat(0.0, -1)
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
        self._slots = [WorkerSlot(index) for index in range(workers)]
        self._again: collections.deque[GradingJob] = collections.deque()
        # Each such job follows the end of a worker, so a fresh worker for it will soon start.
        self._alone: collections.deque[GradingJob] = collections.deque()
        self._verdicts: dict[int, Verdict] = {}
        self._job_rows = FIRST_JOB_ROWS

    def __enter__(self) -> Self:
        """Start the processes and wait until the grader is imported."""
        with contextlib.ExitStack() as stack:
            self._client = Client(self._options)
            stack.callback(self._client.close)
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._selector.register(self._client, selectors.EVENT_READ, None)
            for slot in self._slots:
                stack.callback(slot.close)
                self._spawn_worker(slot)
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

    def grade(self, rows: Iterable[GradedRow]) -> Generator[Verdict, None, None]:
        """Yield one verdict for each row, in order; reads at most `UNDELIVERED_ROWS` rows ahead."""
        source = iter(rows)
        taken = delivered = 0
        exhausted = False
        try:
            while not exhausted or delivered < taken:
                for slot in self._slots:
                    if not slot.is_idle or self._send_again(slot) or exhausted:
                        continue
                    if taken - delivered < UNDELIVERED_ROWS:
                        part = self._next_rows(source)
                        exhausted = not part
                        if part:
                            self._send_job(slot, GradingJob(taken, part))
                            taken += len(part)
                if delivered not in self._verdicts and (delivered < taken or not exhausted):
                    self._wait_for_event()
                while delivered in self._verdicts:
                    yield self._verdicts.pop(delivered)
                    delivered += 1
        finally:
            self._abandon_jobs()

    def _spawn_worker(self, slot: WorkerSlot) -> None:
        near, far = socket.socketpair()
        with far:
            near.settimeout(SEND_LIMIT_S)
            slot.stream, slot.lines, slot.fresh = near, Lines(), True
            slot.killed_at, slot.was_late = None, False
            self._selector.register(near, selectors.EVENT_READ, slot)
            self._client.spawn(slot.index, far)

    def _kill_worker(self, slot: WorkerSlot, *, late: bool = False) -> None:
        if slot.killed_at is None:
            slot.killed_at, slot.was_late = time.monotonic(), late
            self._client.kill(slot.index)

    def _next_rows(self, source: Iterator[GradedRow]) -> list[GradedRow]:
        rows: list[GradedRow] = []
        characters = 0
        for row in itertools.islice(source, self._job_rows):
            rows.append(row)
            characters += len(row.text) + len(row.gold_answer) + len(row.metadata or "")
            if characters > JOB_CHARACTERS:
                break
        return rows

    def _send_again(self, slot: WorkerSlot) -> bool:
        """Give an idle worker the rest of an interrupted job, if there is one that it may take."""
        if slot.fresh and self._alone:
            self._send_job(slot, self._alone.popleft())
        elif self._again:
            self._send_job(slot, self._again.popleft())
        return slot.job is not None

    def _send_job(self, slot: WorkerSlot, job: GradingJob) -> None:
        slot.job, slot.judged, slot.fresh, slot.sent_at = job, 0, False, time.monotonic()
        self._client.heartbeats.write(slot.index, NOT_BEGUN)
        assert slot.stream is not None
        try:
            slot.stream.sendall(line_of(job.rows))
        except OSError:  # the worker died or does not read: its exit resolves the job
            self._kill_worker(slot)

    def _wait_for_event(self) -> None:
        """Wait for verdicts, an exit or an overdue row, and handle them."""
        for key, _ in self._selector.select(self._seconds_to_next_deadline()):
            if key.data is None:
                self._handle_exit()
            elif key.fileobj is key.data.stream:
                self._receive_verdicts(key.data)
        now = time.monotonic()
        for slot in self._slots:
            if slot.job is not None and now > self._deadline(slot):
                self._kill_worker(slot, late=True)

    def _deadline(self, slot: WorkerSlot) -> float:
        """Return the time at which the current row is overdue, or the job must have begun."""
        heartbeat = self._client.heartbeats.read(slot.index)
        if heartbeat == NOT_BEGUN:
            return slot.sent_at + SEND_LIMIT_S
        return (heartbeat.started or time.monotonic()) + self._wall_limit_s

    def _seconds_to_next_deadline(self) -> float:
        # A row that starts during the wait is overdue at the earliest one whole limit from now.
        busy = [s for s in self._slots if s.job is not None and s.killed_at is None]
        soonest = min((self._deadline(slot) - time.monotonic() for slot in busy), default=1.0)
        return max(0.0, min(soonest, self._wall_limit_s)) + 1e-3

    def _receive_verdicts(self, slot: WorkerSlot) -> bool:
        """Receive verdicts from a worker; return whether there may be more."""
        assert slot.stream is not None
        try:
            data = slot.stream.recv(1 << 20)
        except (BlockingIOError, TimeoutError):
            return False
        except OSError:
            data = b""
        if not data:
            with contextlib.suppress(KeyError):
                self._selector.unregister(slot.stream)
            return False
        try:
            for values in slot.lines.feed(data):
                self._take_in(slot, [Verdict(*value) for value in values])
        except (ValueError, TypeError):  # the grader wrote to the stream itself
            self._kill_worker(slot)
            return False
        return True

    def _take_in(self, slot: WorkerSlot, verdicts: list[Verdict]) -> None:
        job = slot.job
        if job is None or slot.judged + len(verdicts) > len(job.rows):
            raise ValueError("more verdicts than rows")
        for place, verdict in enumerate(verdicts, start=job.first + slot.judged):
            self._verdicts[place] = verdict
        slot.judged += len(verdicts)
        if slot.judged == len(job.rows):
            self._fit_jobs(len(job.rows), seconds=time.monotonic() - slot.sent_at)
            slot.job = None

    def _fit_jobs(self, rows: int, *, seconds: float) -> None:
        """Make jobs last about `JOB_SECONDS`: many rows if rows are cheap, one row if not."""
        fitting = int(rows * JOB_SECONDS / max(seconds, 1e-6))
        self._job_rows = max(1, min(fitting, 2 * self._job_rows, JOB_ROWS))

    def _handle_exit(self) -> None:
        exited = self._client.next_exit()
        slot = self._slots[exited.slot]
        assert slot.stream is not None
        # The worker may have sent verdicts before it died; those rows need no second try.
        slot.stream.setblocking(False)
        while self._receive_verdicts(slot):
            pass
        with contextlib.suppress(KeyError):
            self._selector.unregister(slot.stream)
        slot.close()
        if slot.job is not None:
            self._resolve_job(slot, slot.job, exited.code)
            slot.job = None
        self._spawn_worker(slot)

    def _resolve_job(self, slot: WorkerSlot, job: GradingJob, code: int) -> None:
        """Give the row that ended a worker a verdict or a second try; redo the other rows."""
        started, row = self._client.heartbeats.read(slot.index)
        # A worker that retires does so between two rows, so no row is to blame.
        if code == RETIRED and not started and slot.judged:
            return self._redo_jobs(GradingJob(job.first + slot.judged, job.rows[slot.judged :]))
        row = min(max(row, slot.judged), len(job.rows) - 1) if started else slot.judged
        # Between the look at the clock and the kill, the worker may have gone on to another row.
        overdue = (
            slot.was_late and started > 0 and (slot.killed_at or 0.0) - started > self._wall_limit_s
        )
        before = GradingJob(job.first + slot.judged, job.rows[slot.judged : row])
        culprit = GradingJob(job.first + row, [job.rows[row]], alone=True)
        after = GradingJob(job.first + row + 1, job.rows[row + 1 :])
        if code == -signal.SIGPROF:
            self._verdicts[culprit.first] = self._out_of_cpu_time()
            return self._redo_jobs(before, after)
        if overdue or (job.alone and slot.was_late):
            message = f"ran for more than {self._wall_limit_s:g} s"
            self._verdicts[culprit.first] = Verdict(None, None, "timeout", message)
            return self._redo_jobs(before, after)
        if job.alone:
            self._verdicts[culprit.first] = Verdict(None, None, "error", self._reason_of_exit(code))
            return None
        # An earlier row of the process may be to blame, so this row gets a fresh worker.
        self._alone.append(culprit)
        return self._redo_jobs(before, after)

    def _out_of_cpu_time(self) -> Verdict:
        message = f"{LATE} {self._options.cpu_limit_s:g} s"
        if is_plugin(self._options.grader):
            return Verdict(None, None, "timeout", message)
        return Verdict(0.0, None, "ok", message)

    def _redo_jobs(self, *jobs: GradingJob) -> None:
        self._again.extendleft(job for job in reversed(jobs) if job.rows)

    def _reason_of_exit(self, code: int) -> str:
        if code == OUT_OF_MEMORY:
            return f"needed more than {self._options.memory_limit_mb} MB"
        return f"killed by signal {-code}" if code < 0 else f"ended its process with code {code}"

    def _abandon_jobs(self) -> None:
        """Drop all rows and verdicts that the caller has not read, and kill busy workers."""
        self._again.clear()
        self._alone.clear()
        self._verdicts.clear()
        for slot in self._slots:
            if slot.job is not None:
                slot.job = None
                with contextlib.suppress(AsymreinforceError):
                    self._kill_worker(slot)
