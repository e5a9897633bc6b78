"""Run pieces of work side by side in child processes, one process for each slot.

A child on CUDA devices does one piece of work and ends; a child on the CPU does piece after piece.
If a child dies, its piece of work is lost, and the slot takes the next piece.

Ctrl-C reaches only the parent. The parent stops a child by an empty message
(`interruption.as_worker` reacts to it) or kills the child. If the connection to the parent breaks,
for example because the parent was killed, a child kills itself; the kernel first continues a child
that was stopped by SIGSTOP.
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
from asymreinforce.interruption import Interrupted, delay_signals, work_for_another
from asymreinforce.progress import say

CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from asymreinforce.processes import continue_when_parent_dies; continue_when_parent_dies(); "
    "from asymreinforce.experiment.children import serve; serve(int(sys.argv[2]))"
)
SECONDS_TO_END = 30.0
SECONDS_TO_DIE = 5.0
SECONDS_BETWEEN_LOOKS = 0.2
"""A dead child's own processes may keep its connection open, so its exit code is polled too."""


class ChildOutcome(NamedTuple):
    """The value that a piece of work returned, or its error; `error` is empty on success."""

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

    `work` is a module's function whose argument and result can be pickled. All children have
    ended when this function returns or raises. Once `is_asked_to_stop()` is true, no further
    piece is begun.
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


def work_until_asked_to_stop(
    work: Callable[[Any], Any], pieces: Sequence[Any], *, slots: Sequence[Slot], lost: str
) -> None:
    """Call `work` on every piece, and warn that pieces are `lost` if children failed.

    A signal stops the children at their next safe point; then `Interrupted` is raised.
    """
    with delay_signals() as is_asked_to_stop:
        outcomes = work_in_slots(work, pieces, slots=slots, is_asked_to_stop=is_asked_to_stop)
        if not is_asked_to_stop():
            for error in dict.fromkeys(outcome.error for outcome in outcomes if outcome.error):
                say(f"warning: {lost}: {error}")


class Child:
    """The child process of a slot; the process is started when there is work for it."""

    def __init__(self, slot: Slot):
        self._slot = slot
        self._process: subprocess.Popen[bytes] | None = None
        self._is_told_to_stop = False
        self.connection: Connection

    def begin(self, work: Callable[[Any], Any], piece: Any) -> None:
        """Send a piece of work to the child; start the child first if it is not running."""
        if self._process is None:
            self._start()
        with contextlib.suppress(OSError):  # the child has died, which `outcome` will report
            self.connection.send((work, piece))

    def stop(self) -> None:
        """Ask the process to stop its work at the next safe point."""
        if not self._is_told_to_stop:
            self._is_told_to_stop = True
            with contextlib.suppress(OSError):
                self.connection.send_bytes(b"")

    def outcome(self) -> ChildOutcome | None:
        """Return the outcome of the work, or None if the work goes on.

        A child on devices has ended when its outcome is returned.
        """
        process = self._process
        assert process
        # polled before the connection is read: a child may send its outcome and then end
        has_ended = process.poll() is not None
        try:
            outcome: ChildOutcome | None = (
                self.connection.recv() if self.connection.poll() else None
            )
        except (EOFError, OSError):
            outcome, has_ended = None, True
        # only the end of a process is sure to free the memory of its devices; on the CPU the
        # process is kept, because importing torch takes seconds
        if has_ended or (outcome and self._slot):
            self.end()
        if has_ended and outcome is None:
            return ChildOutcome(
                None, f"its process ended with {_describe_exit_code(process.returncode)}"
            )
        return outcome

    def end(self) -> None:
        """Let the process end, then kill it and every process that it started."""
        if self._process:
            self.connection.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_TO_END)
        self.kill()

    def kill(self) -> None:
        """Kill the process, if any, and every process that it started; wait until they end."""
        if self._process is None:
            return
        group, deadline = self._process.pid, time.monotonic() + SECONDS_TO_DIE
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
            self._process.wait()
            while time.monotonic() < deadline:  # an engine's own processes hold device memory too
                os.killpg(group, 0)
                time.sleep(0.05)
        self._process.wait()
        self.connection.close()
        self._process = None

    def _start(self) -> None:
        self.connection, far = multiprocessing.connection.Pipe()
        # set in the environment, so that no library of the child sees another slot's devices
        shown = {VISIBLE: ",".join(self._slot)} if self._slot else {}
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-c", CHILD, json.dumps(sys.path), str(far.fileno())],
                pass_fds=(far.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the parent alone
                env=os.environ | shown,
            )


def _describe_exit_code(code: int) -> str:
    return f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"


def free_cached_memory() -> None:
    """Free the device memory that torch caches in this process, for children to use."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def serve(descriptor: int) -> None:
    """Do, as a child, the work that arrives at a connection until the parent closes it."""
    # processes that this child starts must not keep the connection open
    os.set_inheritable(descriptor, False)
    os.dup2(2, 1)  # standard output is for the command's results, not for prints of libraries
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
        work, piece = pickle.loads(message)  # safe: only the parent can write to this pipe
        return ChildOutcome(work(piece), "")
    except Interrupted as stop:  # a signal was sent to this process alone
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
            # a closed connection tells an idle child to end; a busy child has lost its parent
            if is_busy.is_set():
                os.killpg(0, signal.SIGKILL)
            messages.put(None)
            return
        if not message:
            word_to_stop.set()
            continue
        is_busy.set()
        messages.put(message)
