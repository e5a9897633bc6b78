"""Work for the children of slots: it says when it ran, and what its process was shown.

The environment is the one that the interpreter started with, which nothing can have changed since.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from asymreinforce.config import ExperimentConfig

if TYPE_CHECKING:
    from asymreinforce.experiment import evaluation

PATIENCE_S = 60.0


class Seen(NamedTuple):
    """When a piece of work began and ended, and in which process."""

    begun: float
    ended: float
    process: int
    devices: list[str]
    """Of CUDA_VISIBLE_DEVICES as the interpreter was started."""
    had_torch: bool


def started_with(name: str) -> str | None:
    """What an environment variable was when this process was started (Linux)."""
    for entry in Path("/proc/self/environ").read_bytes().split(b"\0"):
        if entry.startswith(f"{name}=".encode()):
            return entry.split(b"=", 1)[1].decode()
    return None


def look(seconds: float) -> Seen:
    begun = time.monotonic()
    time.sleep(seconds)
    devices = (started_with("CUDA_VISIBLE_DEVICES") or "").split(",")
    return Seen(begun, time.monotonic(), os.getpid(), devices, "torch" in sys.modules)


def train(lot: Sequence[ExperimentConfig]) -> None:
    """Take the place of training: wait for as many arms as are to run at once, and write it down.

    Only arms of the first wave have to wait. The one of baseline 0.3 and seed 1 dies.
    """
    (arm,) = lot
    place = Path(os.environ["PLACE_OF_TESTS"])
    name = f"{arm.baseline}-{arm.seed}"
    begun = time.monotonic()
    (place / f"{name}.begun").touch()
    while len(list(place.glob("*.begun"))) < int(os.environ["AT_ONCE"]):
        assert time.monotonic() < begun + PATIENCE_S
        time.sleep(0.01)
    if (arm.baseline, arm.seed) == (0.3, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    seen = look(0.01)._replace(begun=begun)
    (place / f"{name}.json").write_text(json.dumps(seen))


def rounds(arms: Sequence[ExperimentConfig]) -> None:
    """Take the place of an engine and its arms."""
    names = ",".join(f"{arm.baseline}" for arm in arms)
    seen = look(0.0)
    (Path(os.environ["PLACE_OF_TESTS"]) / f"{names}.json").write_text(json.dumps(seen))


def evaluate(targets: "list[evaluation.EvaluationTarget]") -> object:
    """Evaluate for good, and write down what the process was shown."""
    seen = look(0.0)
    (Path(os.environ["PLACE_OF_TESTS"]) / f"{os.getpid()}.json").write_text(json.dumps(seen))
    from asymreinforce.experiment.evaluation import _evaluate_part

    return _evaluate_part(targets)


def die_or_look(seconds: float | None) -> Seen:
    """Die as by the system's killer of large processes where no seconds are given."""
    if seconds is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return look(seconds or 0.0)


def fail(reason: str) -> None:
    raise ValueError(reason)


def leave_a_process(place: str) -> int:
    """Start one that holds this process's connection open, as an engine of its own would."""
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    Path(place).write_text(str(child))
    return child


def leave_a_process_and_die(place: str) -> None:
    leave_a_process(place)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_a_signal(place: str) -> None:
    (Path(place) / str(os.getpid())).touch()
    time.sleep(60)
