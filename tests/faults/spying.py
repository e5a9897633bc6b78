"""Forks that run one command, watched at each failpoint: where it came from, and what to do there.

A failpoint's identity is its action, the kind of its file, and the function that asked for it, so
that a new write anywhere in the package is a failpoint of its own.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import os
import pkgutil
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asymrl
from asymrl import bridge
from omegaconf import OmegaConf

import asymreinforce
from asymreinforce.data import files

ROOT = Path(__file__).parents[2]
SHELLS = ("asymreinforce/data/", "asymreinforce/stages/train/shared_store.py")
"""What others write through; who asked for a write is the first caller that is not in there."""
NEVER_IMPORTED = ("vllm_engine", "on_ray", "varlen")


class Point(NamedTuple):
    """A failpoint as it was passed: what is done to which file, and who asked for it."""

    action: str
    file: str
    site: str

    @property
    def identity(self) -> "Point":
        """The same, whatever the numbers and hashes in the file's name."""
        kind = re.sub(r"\b[0-9a-f]{16}\b|\d+", "#", self.file)
        kind = re.sub(r".*(\.svg|\.png)$", r"*\1", kind)
        return self._replace(file=kind)


At = Callable[[int, Point], None]
"""What happens at the n-th failpoint, counted from 1."""


def import_everything() -> None:
    """Import the package, so that a fork of this process imports next to nothing."""
    for package in (asymreinforce, asymrl):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(NEVER_IMPORTED):
                importlib.import_module(module.name)
    for name in ("transformers.models.llama.modeling_llama", "matplotlib.pyplot", "hydra"):
        importlib.import_module(name)


def prepare_this_process(work: Path) -> None:
    """Import everything, and let commands write neither seconds nor figures.

    Seconds are no payload, and what a figure looks like is another test's.
    """
    from matplotlib.figure import Figure

    import_everything()
    compose_once(work / "composed")
    write_no_seconds()
    Figure.savefig = lambda self, to, **settings: to.write(b"<svg><g></g></svg>")  # type: ignore[method-assign]


def write_no_seconds() -> None:
    from asymreinforce.experiment import summary

    summary._training_seconds = lambda arm: 0.0


def compose_once(cache: Path) -> None:
    """Compose each configuration once; what Hydra makes of the same words is the same.

    It takes longer than everything else that a small command does.
    """
    real = bridge.run_hydra

    def run_hydra(job: bridge.Job, overrides: Sequence[str], **settings: Any) -> None:
        path = cache / hashlib.sha256(repr([overrides, settings]).encode()).hexdigest()
        if not path.exists():
            found: list[Any] = []

            @functools.wraps(job)
            def keep(cfg: Any) -> None:
                found.append(OmegaConf.to_container(cfg, resolve=True))

            real(keep, overrides, **settings)
            path.write_text(json.dumps(found))
        for values in json.loads(path.read_text()):
            job(OmegaConf.create(values))

    cache.mkdir(parents=True)
    bridge.run_hydra = run_hydra


def spy(at: At) -> None:
    """Let `at` be told of each failpoint that this process passes."""
    passed = 0

    def failpoint(name: str) -> None:
        nonlocal passed
        passed += 1
        action, _, file = name.partition(" ")
        at(passed, Point(action, file, _site()))

    files.pass_failpoint = failpoint


def _site() -> str:
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(str(ROOT)):
            relative = str(Path(path).relative_to(ROOT))
            if relative.startswith(("asymreinforce/", "cli/asymrl/")) and not relative.startswith(
                SHELLS
            ):
                return f"{relative}:{frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return "nobody"


def recorded(log: Path) -> At:
    """Write down each failpoint."""

    def at(number: int, point: Point) -> None:
        with log.open("a") as stream:
            stream.write("\t".join(point) + "\n")

    return at


def passed(log: Path) -> list[Point]:
    """Return the failpoints that were written down, in order."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [Point(*line.split("\t")) for line in lines]


def killed(number: int) -> At:
    """Be killed at one of them."""

    def at(passed: int, point: Point) -> None:
        if passed == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return at


def forked(function: Callable[[], int], *, output: Path, at: At | None = None) -> int:
    """Run in a fork of this process; return its exit code, -9 where it was killed."""
    return ended(fork(function, output=output, at=at))


def ended(child: int) -> int:
    """Wait for a fork; return its exit code, -9 where it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork(function: Callable[[], int], *, output: Path, at: At | None = None) -> int:
    """Start a function in a fork of this process; return the fork's number.

    What it prints goes to a file. fsync is for power cuts, and slow: SIGKILL loses nothing.
    """
    child = os.fork()
    if not child:
        with output.open("a") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            os.fsync = lambda fd: None
            if at:
                spy(at)
            code = 99
            with contextlib.suppress(BaseException):
                try:
                    code = function()
                except BaseException:
                    traceback.print_exc()
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    return child


def run_asymrl(*arguments: str) -> int:
    """Run a command in this process; return its exit code."""
    from asymrl.main import main

    try:
        main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    raise AssertionError("main ends by SystemExit")
