"""The fork server: a small process that imports a grader once, forks workers and kills them.

The parent may hold torch, vLLM and threads, from which forking is unsafe. The fork server is a
fresh process with one thread and never judges a row. A worker forks in milliseconds, so replacing a
worker is cheap. The server adopts the orphans of a grader's children and kills them too, and kills
everything if its parent is gone. Linux only (prctl, /proc).

Control messages (JSON, one a datagram):

    requests  ["spawn", slot] with a socket, ["kill", slot]; end of stream: kill all and exit
    replies   ["ready"] or ["failed", reason] once, then ["exited", slot, wait status]
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

from asymreinforce.errors import AsymreinforceError
from asymreinforce.grading.graders import Grade, load_grader
from asymreinforce.grading.pool.protocol import Heartbeats, Options
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


class ForkServer:
    """Forks one worker for each slot, and reaps a worker with all its children."""

    def __init__(self, options: Options, control: socket.socket, grade: Grade) -> None:
        self._options, self._control, self._grade = options, control, grade
        self._heartbeats = Heartbeats(options.heartbeats, workers=options.workers)
        self._workers: dict[int, int] = {}
        self._wakeup, wake = socket.socketpair()
        for end in (self._wakeup, wake):
            end.setblocking(False)
        self._wake = wake
        # `select` does not wait for exits; a handler and a wake-up socket let SIGCHLD end the wait.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)

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
                self._report_exits()
                if self._control in ready and not self._handle_request():
                    return
        finally:
            for pid in [*self._workers]:
                self._reap_worker(pid)

    def _handle_request(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, 4096, 1)
        if not message:
            return False
        action, slot = json.loads(message)
        if action == "spawn":
            with socket.socket(fileno=descriptors[0]) as stream:
                self._spawn_worker(slot, stream)
        else:
            for pid in [pid for pid, worker_slot in self._workers.items() if worker_slot == slot]:
                os.kill(pid, signal.SIGKILL)
        return True

    def _spawn_worker(self, slot: int, stream: socket.socket) -> None:
        self_pid = os.getpid()
        if pid := os.fork():
            self._workers[pid] = slot
            return
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            prctl(PR_SET_CHILD_SUBREAPER, 1)
            if os.getppid() != self_pid:  # the server died before the prctl could take effect
                os._exit(1)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self._control, self._wakeup, self._wake):
                end.close()
            judge_jobs(
                stream,
                self._heartbeats,
                slot=slot,
                grade=self._grade,
                options=self._options,
            )
        finally:
            os._exit(1)

    def _report_exits(self) -> None:
        while True:
            try:
                # WNOWAIT keeps the process id taken until the whole group is killed.
                exited = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if exited is None:
                return
            if exited.si_pid not in self._workers:
                os.waitpid(exited.si_pid, 0)
                continue
            slot = self._workers[exited.si_pid]
            status = self._reap_worker(exited.si_pid)
            self._control.send(json.dumps(["exited", slot, status]).encode())

    def _reap_worker(self, pid: int) -> int:
        """Kill a worker, its group and its orphans; return the wait status of the worker."""
        # The worker is not yet reaped, so that no other group can have the number of its group.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        del self._workers[pid]
        while strays := children_of(os.getpid()) - set(self._workers):
            for stray in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stray, signal.SIGKILL)
            for stray in strays:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(stray, 0)
        return status


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
    except AsymreinforceError as error:
        control.send(json.dumps(["failed", str(error)[:2000]]).encode())
    except BaseException as error:  # a user's module may raise anything, SystemExit too
        reason = f"{type(error).__name__}: {error}"
        control.send(json.dumps(["failed", reason[:2000]]).encode())
    else:
        control.send(json.dumps(["ready"]).encode())
        ForkServer(options, control, grade).run()
    os._exit(0)
