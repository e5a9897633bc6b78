"""The progress of an arm in training, in a small file among the experiment's logs.

    runs/<experiment>/train/<identity>/              the arm
    runs/<experiment>/logs/progress-<identity>.json

A sweep reads it to show arms in other processes, and `asymrl status` reads it at any time. The file
lies outside the arm's directory, determines nothing, and may be lost (`files.publish_passing`).
"""

import math
import os
import platform
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

from asymreinforce.data import files
from asymreinforce.data.values import finite_or_none
from asymreinforce.errors import InputError

State = Literal["running", "stopped", "failed", "done"]
NUMBERS = ("loss", "reward", "validation_accuracy", "kl")
"""Columns of METRICS that are shown, each with its latest known value."""
TEXTS = ("state", "reason", "host")
"""Fields of `ArmProgress` that are texts; all other fields are numbers or None."""
# The estimate uses the rollouts that the arm trains on, so that it falls below 0 if pi comes to
# give them more probability than mu.
IN_SAMPLE_KL = "KL in-sample"
"""The title of KL(mu || pi)."""


class ArmProgress(NamedTuple):
    """The progress of an arm; an unknown number is None."""

    step: int
    steps: int
    state: State
    reason: str = ""
    """Why the arm stopped or failed."""
    loss: float | None = None
    reward: float | None = None
    validation_accuracy: float | None = None
    kl: float | None = None
    tokens_per_second: float | None = None
    """Prompt and completion tokens per second, with validation in the time."""
    seconds_left: float | None = None
    since: float = 0.0
    """Unix time at which this process began with the arm, at step `from_step`."""
    from_step: int = 0
    written: float = 0.0
    """Unix time at which the file was written."""
    host: str = ""
    process: int = 0

    @property
    def is_mine(self) -> bool:
        """Whether this process wrote the file."""
        return (self.host, self.process) == (platform.node(), os.getpid())


def progress_path(arm: Path) -> Path:
    """Return the path of an arm's progress file, given the arm's directory."""
    return arm.parents[1] / "logs" / f"progress-{arm.name}.json"


def publish_progress(arm: Path, progress: ArmProgress) -> None:
    """Write an arm's progress file, with this process and the time."""
    stamped = progress._replace(written=time.time(), host=platform.node(), process=os.getpid())
    values = {
        # JSON has no NaN, which a loss may be
        name: value if isinstance(value, str) else finite_or_none(value)
        for name, value in stamped._asdict().items()
    }
    files.publish_passing(progress_path(arm), values)


def read_progress(arm: Path) -> ArmProgress | None:
    """Read an arm's progress file; None if it is absent, damaged or of another version."""
    try:
        values = files.read_json(progress_path(arm))
        progress = ArmProgress(**values)
    except (InputError, OSError, TypeError):  # another version may have other fields
        return None
    return progress if _is_sound(progress) else None


def _is_sound(progress: ArmProgress) -> bool:
    numbers: list[Any] = [v for k, v in progress._asdict().items() if k not in TEXTS]
    return all(v is None or isinstance(v, int | float) for v in numbers) and all(
        isinstance(getattr(progress, name), str) for name in TEXTS
    )


def words(progress: ArmProgress) -> str:
    """Return a line such as `step 120 of 400: batch reward 0.31, validation 45.2%`."""
    numbers = {
        "loss": number(progress.loss),
        "batch reward": number(progress.reward),  # of the step's rollouts, which pi did not draw
        "validation": share(progress.validation_accuracy),
        IN_SAMPLE_KL: number(progress.kl),
    }
    parts = [f"{name} {value}" for name, value in numbers.items() if value]
    if pace := whole(progress.tokens_per_second):
        parts.append(f"{pace} tokens/s")
    if left := duration(progress.seconds_left):
        parts.append(f"{left} left")
    return f"step {progress.step} of {progress.steps}: {', '.join(parts)}".removesuffix(": ")


def number(value: float | None) -> str:
    """Return a number with three significant digits; empty if it is None or not finite."""
    return "" if value is None or not math.isfinite(value) else f"{value:.3g}"


def share(value: float | None) -> str:
    """Return a share in per cent; empty if it is None or not finite."""
    return "" if value is None or not math.isfinite(value) else f"{100 * value:.1f}%"


def whole(value: float | None) -> str:
    """Return a rounded number with thousands separators; empty if it is None or not finite."""
    return "" if value is None or not math.isfinite(value) else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Return a time in its two largest units: `40 s`, `3 min`, `2 h 10 min`, `3 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
