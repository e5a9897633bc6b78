"""The client of a fork server: starts the server, and judges rows with its workers."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from asymreinforce import credentials
from asymreinforce.errors import AsymreinforceError, ConfigError
from asymreinforce.grading.pool.protocol import (
    NOT_BEGUN,
    Heartbeat,
    Options,
    line_of,
    map_heartbeats,
)
from asymreinforce.grading.verdict import GradedRow, Verdict

IMPORT_LIMIT_S = 120.0
END_LIMIT_S = 10.0
SEND_LIMIT_S = 30.0
"""Time for a worker to receive and begin a job: far more than a healthy worker needs."""
LARGEST_MESSAGE = 65_536
LONGEST_LINE = 1 << 28
SERVER = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop(2)); "
    "from asymreinforce.grading.pool.fork_server import main; main()"
)
ENVIRONMENT = {
    # Libraries' thread pools would make the fork server unsafe to fork.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Hashes of strings order sets, and with them, in sympy, some verdicts.
    "PYTHONHASHSEED": "0",
}


class Ending(NamedTuple):
    """The end of a worker before all rows of its job were judged."""

    code: int
    """The exit code, or minus the signal that killed the worker."""
    row: int | None
    """The place in the job of the row that was being judged; None between two rows."""
    is_overdue: bool
    """Whether the worker was killed because that row had passed the wall-clock limit."""


class Worker:
    """A worker process, and a fresh one after each end. One thread at a time may judge with it."""

    def __init__(
        self, control: socket.socket, place: int, heartbeat: Heartbeat, *, wall_limit_s: float
    ) -> None:
        self._control, self._place, self._heartbeat = control, place, heartbeat
        self._wall_limit_s = wall_limit_s
        self._start()

    def judge(self, rows: Sequence[GradedRow]) -> tuple[list[Verdict], Ending | None]:
        """Return the verdicts on the first rows, and how the worker ended unless it judged all.

        Raises `AsymreinforceError` if the fork server is gone.
        """
        verdicts: list[Verdict] = []
        code, killed_at = self._exchange(rows, verdicts)
        if code is None:
            return verdicts, None
        started, row = self._heartbeat.started, self._heartbeat.row
        self._stream.close()
        self._start()
        if len(verdicts) == len(rows):
            return verdicts, None
        place: int | None = min(max(row, len(verdicts)), len(rows) - 1)
        if not started:  # a worker that ends before its first verdict may have died of that row
            place = None if verdicts else 0
        # Between the look at the clock and the kill, the worker may have gone on to another row.
        is_overdue = started > 0 and killed_at - started > self._wall_limit_s
        return verdicts, Ending(code, place, is_overdue)

    def _exchange(
        self, rows: Sequence[GradedRow], verdicts: list[Verdict]
    ) -> tuple[int | None, float]:
        """Send rows and add their verdicts, until all have come or the worker has ended.

        Returns the exit code of the worker, and when it was killed because a deadline had passed.
        """
        self._heartbeat.started, self._heartbeat.row = 0.0, NOT_BEGUN
        sent_at, killed_at, code = time.monotonic(), 0.0, None
        self._stream.settimeout(SEND_LIMIT_S)
        try:
            self._stream.sendall(line_of(rows))
        except OSError:  # the worker died or does not read
            self.kill()
        while code is None and len(verdicts) < len(rows):
            self._stream.settimeout(None if killed_at else self._wait_s(sent_at))
            try:
                data = self._stream.recv(1 << 20)
            except TimeoutError:
                if time.monotonic() > self._deadline(sent_at):
                    killed_at = time.monotonic()
                    self.kill()
            except OSError:
                code = -signal.SIGKILL
            else:
                code = self._take_in(data, verdicts, most=len(rows))
        return code, killed_at

    def kill(self) -> None:
        """Ask for the end of the process, from any thread; raises `AsymreinforceError`."""
        self._send_request("kill")

    def hang_up(self) -> None:
        """End `judge` in all threads; then nothing more can be judged."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _start(self) -> None:
        self._stream, far = socket.socketpair()
        self._unread = b""
        with far:
            self._send_request("spawn", far.fileno())

    def _send_request(self, action: str, *descriptors: int) -> None:
        message = json.dumps([action, self._place]).encode()
        try:
            socket.send_fds(self._control, [message], descriptors)
        except OSError:
            raise AsymreinforceError(
                "the grader processes were ended from outside (was the machine out of memory?); "
                "run the same command again, it keeps what is finished"
            ) from None

    def _deadline(self, sent_at: float) -> float:
        """Return the time at which the current row is overdue, or the job must have begun."""
        if self._heartbeat.row == NOT_BEGUN:
            return sent_at + SEND_LIMIT_S
        return (self._heartbeat.started or time.monotonic()) + self._wall_limit_s

    def _wait_s(self, sent_at: float) -> float:
        # A row that starts during the wait is overdue at the earliest one whole limit from now.
        return max(1e-3, min(self._deadline(sent_at) - time.monotonic(), self._wall_limit_s))

    def _take_in(self, data: bytes, verdicts: list[Verdict], *, most: int) -> int | None:
        """Add the verdicts that have come; return the exit code if the server reports the end."""
        *lines, self._unread = (self._unread + data).split(b"\n")
        is_garbled = len(self._unread) > LONGEST_LINE or self._unread[:1] not in (b"", b"[", b"-")
        for line in filter(None, lines):
            try:
                if isinstance(values := json.loads(line), int):
                    return values
                verdicts += [Verdict(*value) for value in values]
            except (ValueError, TypeError):
                is_garbled = True
        if is_garbled or len(verdicts) > most:  # the grader wrote to the stream itself
            del verdicts[most:]
            self.kill()
        # The server ends a stream after the exit code, unless strangers had filled the stream.
        return None if data else -signal.SIGKILL


class Client:
    """A running fork server. Raises `ConfigError` if the server cannot import the grader."""

    def __init__(self, options: Options, *, wall_limit_s: float) -> None:
        self.workers: list[Worker] = []
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with tempfile.TemporaryFile() as shared, far:
            shared.truncate(options.workers * ctypes.sizeof(Heartbeat))
            heartbeats = map_heartbeats(shared.fileno(), workers=options.workers)
            options = options._replace(
                control=far.fileno(), heartbeats=shared.fileno(), parent=os.getpid()
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER, json.dumps(options._asdict()), json.dumps(sys.path)],
                pass_fds=(far.fileno(), shared.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**credentials.for_graders(os.environ), **ENVIRONMENT},
            )
        try:
            self._await_import(options.grader)
            for place, heartbeat in enumerate(heartbeats):
                worker = Worker(self._control, place, heartbeat, wall_limit_s=wall_limit_s)
                self.workers.append(worker)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the fork server and wait; the server kills the workers and all their children."""
        self._control.close()
        self._process.send_signal(signal.SIGCONT)  # a stopped server cannot see the closed socket
        try:
            self._process.wait(timeout=END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the kernel then kills the workers (PR_SET_PDEATHSIG)
            self._process.wait()
        for worker in self.workers:
            worker.hang_up()

    def _await_import(self, grader: str) -> None:
        self._control.settimeout(IMPORT_LIMIT_S)
        try:
            message = self._control.recv(LARGEST_MESSAGE)
            state, *reason = json.loads(message or b'["failed", "its import ended the process"]')
        except TimeoutError:
            state, reason = "failed", [f"its import took over {IMPORT_LIMIT_S:.0f} s"]
        self._control.settimeout(None)
        if state != "ready":
            raise ConfigError(f"grader {grader}: cannot be imported ({reason[0]})")
