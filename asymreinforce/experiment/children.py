"""Work side by side in child processes, one a slot.

A child is started with its slot's devices in its environment, so that no library that it imports
sees another's. A child on devices does one piece of work and ends, because only its end is sure to
free their memory; on the CPU a child goes on to the next piece, since importing torch takes
seconds. A piece of work whose child dies is lost, and the slot goes to the next one.

Children are in sessions of their own: Ctrl-C reaches this process alone, which tells them to stop
by an empty message (`interruption.as_worker` stops), or kills them. Once the connection to this
process breaks, because it was killed, say, they kill themselves; the kernel continues one that was
stopped (SIGSTOP), so that it does.
"""

import collections
import contextlib
import gc
import json
import multiprocessing.connection
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from asymreinforce import failures
from asymreinforce.experiment.slots import VISIBLE, Slot
from asymreinforce.interruption import Interrupted, work_for_another

CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from asymreinforce.processes import continue_when_parent_dies; continue_when_parent_dies(); "
    "from asymreinforce.experiment.children import serve; serve(int(sys.argv[2]))"
)
SECONDS_TO_END = 30.0
SECONDS_TO_DIE = 5.0
SECONDS_BETWEEN_LOOKS = 0.2
"""A child that died may leave processes that keep its connection open, so it is looked at too."""


class ChildOutcome(NamedTuple):
    """What a piece of work returned, or how it failed; `error` is empty if it did not."""

    value: Any
    error: str


def work_in_slots(
    work: Callable[[Any], Any],
    pieces: Sequence[Any],
    *,
    slots: Sequence[Slot],
    is_asked_to_stop: Callable[[], bool] = lambda: False,
) -> list[ChildOutcome]:
    """Call `work` on every piece, each in the child of a slot; return the outcomes in order.

    `work` is a function of a module, and what it takes and returns can be pickled. All children
    have ended when this returns or raises. Once it `is_asked_to_stop`, no piece is begun any more.
    """
    if any(slots):
        free_cached_memory()
    outcomes = [ChildOutcome(None, "was not begun")] * len(pieces)
    waiting = collections.deque(enumerate(pieces))
    idle = [Child(slot) for slot in slots[: len(pieces)]]
    busy: dict[Child, int] = {}
    try:
        while busy or (waiting and not is_asked_to_stop()):
            while waiting and idle and not is_asked_to_stop():
                number, piece = waiting.popleft()
                child = idle.pop(0)
                busy[child] = number
                child.begin(work, piece)
            multiprocessing.connection.wait(
                [child.connection for child in busy], timeout=SECONDS_BETWEEN_LOOKS
            )
            for child in list(busy):
                if is_asked_to_stop():
                    child.stop()
                outcome = child.outcome()
                if outcome:
                    outcomes[busy.pop(child)] = outcome
                    idle.append(child)
        for child in idle:
            child.end()
    finally:
        for child in (*idle, *busy):
            child.kill()
    return outcomes


class Child:
    """The process of a slot, which is started when there is work for it."""

    def __init__(self, slot: Slot):
        self._slot = slot
        self._process: subprocess.Popen[bytes] | None = None
        self._is_told_to_stop = False
        self.connection: Connection

    def begin(self, work: Callable[[Any], Any], piece: Any) -> None:
        """Have a piece of work done, by a new process if none is there."""
        if self._process is None:
            self._start()
        with contextlib.suppress(OSError):  # it has died, which `outcome` will tell
            self.connection.send((work, piece))

    def stop(self) -> None:
        """Tell the process to stop its work where that is safe."""
        if not self._is_told_to_stop:
            self._is_told_to_stop = True
            with contextlib.suppress(OSError):
                self.connection.send_bytes(b"")

    def outcome(self) -> ChildOutcome | None:
        """Return what came of the work, None while it is done; on devices the process has ended."""
        process = self._process
        assert process
        has_ended = process.poll() is not None  # before looking for what it may have sent
        try:
            outcome: ChildOutcome | None = (
                self.connection.recv() if self.connection.poll() else None
            )
        except (EOFError, OSError):
            outcome, has_ended = None, True
        if has_ended or (outcome and self._slot):
            self.end()
        if has_ended and outcome is None:
            return ChildOutcome(
                None, f"its process ended with {_describe_exit_code(process.returncode)}"
            )
        return outcome

    def end(self) -> None:
        """Let the process end, and whatever it started with it."""
        if self._process:
            self.connection.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_TO_END)
        self.kill()

    def kill(self) -> None:
        """Kill the process, if there is one, and whatever it started; return when it is gone."""
        if self._process is None:
            return
        group, deadline = self._process.pid, time.monotonic() + SECONDS_TO_DIE
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
            self._process.wait()
            while time.monotonic() < deadline:  # an engine's own processes hold memory too
                os.killpg(group, 0)
                time.sleep(0.05)
        self._process.wait()
        self.connection.close()
        self._process = None

    def _start(self) -> None:
        self.connection, far = multiprocessing.connection.Pipe()
        shown = {VISIBLE: ",".join(self._slot)} if self._slot else {}
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-c", CHILD, json.dumps(sys.path), str(far.fileno())],
                pass_fds=(far.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | shown,
            )


def _describe_exit_code(code: int) -> str:
    return f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"


def free_cached_memory() -> None:
    """Give back what torch keeps of this process's devices, which children are about to use."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def serve(descriptor: int) -> None:
    """Do, as a child, the work that comes by a connection, until the other end closes it."""
    os.set_inheritable(descriptor, False)
    os.dup2(2, 1)  # what libraries print is no result of the command
    connection = Connection(descriptor)
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    is_busy, word_to_stop = threading.Event(), threading.Event()
    work_for_another(word_to_stop)
    listening = (connection, messages, is_busy, word_to_stop)
    threading.Thread(target=_listen_to_parent, args=listening, daemon=True).start()
    while (message := messages.get()) is not None:
        outcome = _run_piece(message)
        is_busy.clear()
        with contextlib.suppress(OSError):
            connection.send(outcome)


def _run_piece(message: bytes) -> ChildOutcome:
    try:
        work, piece = pickle.loads(message)  # the parent's, by a pipe that no other has
        return ChildOutcome(work(piece), "")
    except Interrupted as stop:  # a signal that this process alone was sent
        sys.exit(stop.code)
    except Exception as error:
        return ChildOutcome(None, failures.failure_line(error))


def _listen_to_parent(
    connection: Connection,
    messages: "queue.SimpleQueue[bytes | None]",
    is_busy: threading.Event,
    word_to_stop: threading.Event,
) -> None:
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            if is_busy.is_set():
                os.killpg(0, signal.SIGKILL)
            messages.put(None)
            return
        if not message:
            word_to_stop.set()
            continue
        is_busy.set()
        messages.put(message)
