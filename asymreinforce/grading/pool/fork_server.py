"""The fork server: a small process that imports a grader once, forks workers and kills them.

The parent may hold torch, vLLM and threads, from which forking is unsafe. The fork server is a
fresh process with one thread and never judges a row. A worker forks in milliseconds, so replacing a
worker is cheap. The server adopts the orphans of a grader's children and kills them too, and kills
everything if its parent is gone. Linux only (prctl, /proc).

The parent sends requests (JSON, one a datagram). At the end of their stream, the server kills all
and exits.

    ["spawn", place] with the socket on which the worker gets its jobs; ["kill", place]

The server replies ["ready"] or ["failed", reason] once. If a worker ends, the server writes the
exit code behind the worker's verdicts and ends their stream, whoever else has the stream open.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from asymreinforce.errors import AsymreinforceError
from asymreinforce.grading.graders import Grade, load_grader
from asymreinforce.grading.pool.protocol import Options, map_heartbeats
from asymreinforce.grading.pool.worker import judge_jobs
from asymreinforce.processes import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    children_of,
    continue_when_parent_dies,
    prctl,
)

CLONE_NEWUSER = 0x10000000
SECONDS_BETWEEN_LOOKS = 1.0


class RunningWorker(NamedTuple):
    """The place of a worker, and the worker's end of its stream."""

    place: int
    stream: socket.socket


class ForkServer:
    """Forks one worker for each place, and reaps a worker with all its children."""

    def __init__(self, options: Options, control: socket.socket, grade: Grade) -> None:
        self._options, self._control, self._grade = options, control, grade
        self._heartbeats = map_heartbeats(options.heartbeats, workers=options.workers)
        self._workers: dict[int, RunningWorker] = {}
        """The workers by their process ids."""
        self._wakeup, self._wake = socket.socketpair()
        for end in (self._wakeup, self._wake):
            end.setblocking(False)
        # `select` does not wait for exits; a handler and a wake-up socket let SIGCHLD end the wait.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until the parent hangs up or is gone."""
        try:
            while os.getppid() == self._options.parent:
                ready, _, _ = select.select(
                    [self._control, self._wakeup], [], [], SECONDS_BETWEEN_LOOKS
                )
                if self._wakeup in ready:
                    with contextlib.suppress(BlockingIOError):
                        self._wakeup.recv(4096)
                self._reap_exited()
                if self._control in ready and not self._handle_request():
                    return
        finally:
            for pid in [*self._workers]:
                self._reap_worker(pid)

    def _handle_request(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, 4096, 1)
        if not message:
            return False
        action, place = json.loads(message)
        for pid in [pid for pid, worker in self._workers.items() if worker.place == place]:
            self._reap_worker(pid)
        if action == "spawn":
            self._spawn_worker(RunningWorker(place, socket.socket(fileno=descriptors[0])))
        return True

    def _spawn_worker(self, worker: RunningWorker) -> None:
        self_pid = os.getpid()
        if pid := os.fork():
            self._workers[pid] = worker
            return
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            prctl(PR_SET_CHILD_SUBREAPER, 1)
            if os.getppid() != self_pid:  # the server died before the prctl could take effect
                os._exit(1)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            others = (other.stream for other in self._workers.values())
            for end in (self._control, self._wakeup, self._wake, *others):
                end.close()
            heartbeat = self._heartbeats[worker.place]
            judge_jobs(worker.stream, heartbeat, grade=self._grade, options=self._options)
        finally:
            os._exit(1)

    def _reap_exited(self) -> None:
        with contextlib.suppress(ChildProcessError):
            # WNOWAIT keeps the process id taken until the whole group is killed.
            while exited := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if exited.si_pid in self._workers:
                    self._reap_worker(exited.si_pid)
                else:
                    os.waitpid(exited.si_pid, 0)

    def _reap_worker(self, pid: int) -> None:
        """Kill a worker, its group and its orphans, and end its stream with its exit code."""
        # The worker is not yet reaped, so that no other group can have the number of its group.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        stream = self._workers.pop(pid).stream
        while strays := children_of(os.getpid()) - set(self._workers):
            for stray in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stray, signal.SIGKILL)
            for stray in strays:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(stray, 0)
        with stream, contextlib.suppress(OSError):
            stream.send(b"\n%d\n" % code, socket.MSG_DONTWAIT)
            stream.shutdown(socket.SHUT_RDWR)


def hide_other_processes() -> bool:
    """Enter a new user namespace if the system allows it; return whether it did.

    There the kernel refuses to trace other processes of this user, and so to show their environment
    and memory (/proc/PID/environ). Access to files does not change.
    """
    pid = os.fork()
    if not pid:  # try in a child first: a namespace that is half set up cannot be left
        os._exit(0 if _enter_namespace() else 1)
    return os.waitpid(pid, 0)[1] == 0 and _enter_namespace()


def _enter_namespace() -> bool:
    user, group = os.geteuid(), os.getegid()
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
            return False
        proc = Path("/proc/self")
        (proc / "setgroups").write_text("deny")
        (proc / "uid_map").write_text(f"{user} {user} 1")
        (proc / "gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return False
    return True


def main() -> None:
    """Import the grader, report ready or failed, and serve."""
    options = Options(**json.loads(sys.argv[1]))
    control = socket.socket(fileno=options.control)
    try:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        hide_other_processes()
        continue_when_parent_dies()  # last, since a change of credentials clears the setting
        grade = load_grader(options.grader, reasoning=options.reasoning)
    except BaseException as error:  # a user's module may raise anything, SystemExit too
        name = "" if isinstance(error, AsymreinforceError) else f"{type(error).__name__}: "
        control.send(json.dumps(["failed", f"{name}{error}"[:2000]]).encode())
    else:
        control.send(json.dumps(["ready"]).encode())
        ForkServer(options, control, grade).run()
    os._exit(0)
