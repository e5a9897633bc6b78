"""The client of a fork server: starts the server, requests and kills workers, reports exits."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from typing import NamedTuple

from asymreinforce import credentials
from asymreinforce.errors import AsymreinforceError, ConfigError
from asymreinforce.grading.pool.protocol import HEARTBEAT, Heartbeats, Options

IMPORT_LIMIT_S = 120.0
END_LIMIT_S = 10.0
LARGEST_MESSAGE = 65_536
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


class Exited(NamedTuple):
    """The exit of a worker and all its children; `code` is minus the signal that killed it."""

    slot: int
    code: int


class Client:
    """A running fork server. Raises `ConfigError` if the server cannot import the grader."""

    def __init__(self, options: Options) -> None:
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with tempfile.TemporaryFile() as shared, far:
            shared.truncate(options.workers * HEARTBEAT.size)
            self.heartbeats = Heartbeats(shared.fileno(), workers=options.workers)
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
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor on which a selector can wait for exits."""
        return self._control.fileno()

    def spawn(self, slot: int, stream: socket.socket) -> None:
        """Ask for a new worker that reads its jobs from a stream."""
        self._send_request("spawn", slot, stream.fileno())

    def kill(self, slot: int) -> None:
        """Ask for the end of a worker; the exit is reported like any other."""
        self._send_request("kill", slot)

    def next_exit(self) -> Exited:
        """Wait for the next exit of a worker and return it; raises `AsymreinforceError`."""
        with contextlib.suppress(OSError):
            if message := self._control.recv(LARGEST_MESSAGE):
                _, slot, status = json.loads(message)
                return Exited(slot, os.waitstatus_to_exitcode(status))
        raise _server_gone()

    def close(self) -> None:
        """End the fork server and wait; the server kills the workers and all their children."""
        self._control.close()
        self._process.send_signal(signal.SIGCONT)  # a stopped server cannot see the closed socket
        try:
            self._process.wait(timeout=END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the kernel then kills the workers (PR_SET_PDEATHSIG)
            self._process.wait()

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

    def _send_request(self, action: str, slot: int, *descriptors: int) -> None:
        try:
            socket.send_fds(self._control, [json.dumps([action, slot]).encode()], descriptors)
        except OSError:
            raise _server_gone() from None


def _server_gone() -> AsymreinforceError:
    return AsymreinforceError(
        "the grader processes were ended from outside (was the machine out of memory?); "
        "run the same command again, it keeps what is finished"
    )
