"""A grader for tests that does what the text tells it to, and is right about all other texts."""

import contextlib
import ctypes
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

KEPT: list[Any] = []
MEGABYTE = 2**20


def grade(metadata: str | None, gold_answer: str, text: str) -> Any:
    action, _, argument = text.partition(" ")
    acts = globals().get(f"do_{action}")
    return acts(argument) if acts else float(text == gold_answer)


def slow(metadata: str | None, gold_answer: str, text: str) -> float:
    """A grader that takes a second for each row, whatever it says."""
    time.sleep(1)
    return 0.0


def do_hang(argument: str) -> float:
    while True:
        time.sleep(1)


def do_sleep(argument: str) -> float:
    time.sleep(float(argument))
    return 1.0


def do_burn(argument: str) -> float:
    """Take so many seconds of CPU time."""
    end = time.process_time() + float(argument)
    while time.process_time() < end:
        pass
    return 1.0


def do_hold_the_interpreter(argument: str) -> float:
    return float(len(str(9**9**9)))


def do_ignore_signals(argument: str) -> float:
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    return do_hang(argument)


def do_stop(argument: str) -> float:
    os.kill(os.getpid(), signal.SIGSTOP)
    return 1.0


def do_fork(argument: str) -> float:
    """Leave children behind: a plain one, one in a session of its own, a daemon."""
    for own_session in (False, True):
        if os.fork() == 0:
            if own_session:
                os.setsid()
            if own_session and os.fork():
                os._exit(0)
            time.sleep(600)
            os._exit(0)
    subprocess.Popen(["sleep", argument or "600"])
    return 1.0


def do_fork_and_hang(argument: str) -> float:
    do_fork(argument)
    return do_hang(argument)


def do_fork_and_return(argument: str) -> float:
    os.fork()
    return 1.0


def do_eat(argument: str) -> float:
    blocks = []
    while True:
        blocks.append(bytearray(16 * MEGABYTE))


def do_keep(argument: str) -> float:
    KEPT.append(bytearray(int(argument) * MEGABYTE))
    return 1.0


def do_fill(argument: str) -> float:
    """Write a file without end."""
    with open(argument, "wb", buffering=0) as stream:  # noqa: PTH123
        while True:
            stream.write(bytes(MEGABYTE))


def do_environment(argument: str) -> Any:
    """Answer with every value of the environment that holds a text."""
    from asymreinforce.grading.verdict import Verdict

    found = [name for name, value in os.environ.items() if argument in value]
    return Verdict(1.0, " ".join(sorted(found)), "ok")


def do_ancestors(argument: str) -> Any:
    """Answer with the ancestors whose environment can be read, and holds a text."""
    from asymreinforce.grading.verdict import Verdict

    found, pid = [], os.getpid()
    while pid > 1:
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
        with contextlib.suppress(OSError):
            if argument in Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace"):
                found.append(str(pid))
    return Verdict(1.0, " ".join(found), "ok")


def do_need(argument: str) -> float:
    return float(len(bytearray(int(argument) * MEGABYTE)) > 0)


def do_raise(argument: str) -> float:
    raise RuntimeError("no " * 1000)


def do_interrupt(argument: str) -> float:
    raise KeyboardInterrupt


def do_exit(argument: str) -> float:
    sys.exit(0)


def do_end(argument: str) -> float:
    os._exit(int(argument))


def do_crash(argument: str) -> float:
    return float(ctypes.string_at(0)[0])


def do_print(argument: str) -> float:
    for _ in range(2_000):
        print("x" * 1_000)
        print("y" * 1_000, file=sys.stderr)
    return 1.0


def do_thread(argument: str) -> float:
    threading.Thread(target=do_hang, args=("",), daemon=True).start()
    return 1.0


def do_return(argument: str) -> Any:
    return {"none": None, "text": "1", "nan": float("nan"), "list": [1]}[argument]


def do_close(argument: str) -> float:
    os.closerange(3, 256)
    return 1.0


def do_scribble(argument: str) -> float:
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue
    return do_hang(argument)


def do_pid(argument: str) -> Any:
    from asymreinforce.grading.verdict import Verdict

    modules = ",".join(m for m in ("torch", "vllm", "pyarrow", "pydantic") if m in sys.modules)
    return Verdict(1.0, f"{os.getpid()} {modules}", "ok")
