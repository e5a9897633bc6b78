"""The parent's end of a nursery: start it, tell it to spawn and kill, hear what ended."""

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
from asymreinforce.grading.pool.fork_server import Order
from asymreinforce.grading.pool.protocol import BEAT, Heartbeats

IMPORT_LIMIT_S = 120.0
END_LIMIT_S = 10.0
LARGEST_MESSAGE = 65_536
NURSERY = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop(2)); "
    "from asymreinforce.grading.pool.fork_server import main; main()"
)
ENVIRONMENT = {
    # Libraries' thread pools would make the nursery unsafe to fork.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Hashes of strings order sets, and with them, in sympy, some verdicts.
    "PYTHONHASHSEED": "0",
}


class Ended(NamedTuple):
    """A worker that is gone, with all it started; `code` is minus the signal that killed it."""

    slot: int
    code: int


class Link:
    """A running nursery. Raises `ConfigError` where it cannot import the grader."""

    def __init__(self, grader: str, *, workers: int, memory_limit_mb: int) -> None:
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with tempfile.TemporaryFile() as shared, far:
            shared.truncate(workers * BEAT.size)
            self.beats = Heartbeats(shared.fileno(), workers=workers)
            order = Order(
                grader=grader,
                workers=workers,
                memory_limit_mb=memory_limit_mb,
                control=far.fileno(),
                heartbeats=shared.fileno(),
                parent=os.getpid(),
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", NURSERY, json.dumps(order._asdict()), json.dumps(sys.path)],
                pass_fds=(far.fileno(), shared.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**credentials.for_graders(os.environ), **ENVIRONMENT},
            )
        try:
            self._await_import(grader)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Let a selector wait for this link."""
        return self._control.fileno()

    def spawn(self, slot: int, stream: socket.socket) -> None:
        """Have a worker forked that reads its jobs from a stream."""
        self._tell("spawn", slot, stream.fileno())

    def kill(self, slot: int) -> None:
        """Have a worker killed; its end is reported like any other."""
        self._tell("kill", slot)

    def hear(self) -> Ended:
        """Return the next end of a worker; blocks until there is one."""
        with contextlib.suppress(OSError):
            if message := self._control.recv(LARGEST_MESSAGE):
                _, slot, status = json.loads(message)
                return Ended(slot, os.waitstatus_to_exitcode(status))
        raise _gone()

    def close(self) -> None:
        """End the nursery, which kills the workers and all they started, and wait for it."""
        self._control.close()
        self._process.send_signal(signal.SIGCONT)  # a nursery that is stopped would not see that
        try:
            self._process.wait(timeout=END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the kernel tells its workers of its death
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
            raise ConfigError(f"task.grader={grader}: cannot be imported ({reason[0]})")

    def _tell(self, action: str, slot: int, *descriptors: int) -> None:
        try:
            socket.send_fds(self._control, [json.dumps([action, slot]).encode()], descriptors)
        except OSError:
            raise _gone() from None


def _gone() -> AsymreinforceError:
    return AsymreinforceError(
        "the grader processes were ended from outside (was the machine out of memory?); "
        "run the same command again, it keeps what is finished"
    )
