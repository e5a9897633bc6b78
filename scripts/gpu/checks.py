"""A check: a function of a place whose findings have bounds (judged) or goals (only shown)."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """The place of checks: the device, the folder, and carried files."""

    device: torch.device
    is_toy: bool
    """Whether to use tiny sizes on CPU, as a test of the checks themselves."""
    carried: Path | None = None
    """An experiment directory from a CPU machine; see `check_gpu.py --carry`."""

    @property
    def on_cuda(self) -> bool:
        """Return whether there is a CUDA device."""
        return self.device.type == "cuda"

    def directory(self) -> Path:
        """Make an empty directory."""
        return Path(tempfile.mkdtemp(prefix="check-gpu-"))


class Finding(NamedTuple):
    """A figure; it must not exceed `most`, and is shown beside its `goal`."""

    what: str
    value: float | str | None
    unit: str = ""
    most: float | None = None
    goal: str = ""

    @property
    def holds(self) -> bool:
        """Return whether the figure keeps its bound; NaN does not."""
        return self.most is None or (isinstance(self.value, float) and self.value <= self.most)


class NotHereError(Exception):
    """The machine lacks something that the check needs; the message names it."""


class Check(NamedTuple):
    """A named check; after `seconds` it counts as hanging."""

    name: str
    run: Callable[[Place], Iterable[Finding]]
    seconds: float = 60


def verdict(check: Check, place: Place) -> dict[str, Any]:
    """Run a check and return its verdict; an exception becomes the verdict."""
    found: list[Finding] = []
    try:
        found += check.run(place)
        state, message = "pass", ""
        if broken := [f for f in found if not f.holds]:
            state = "FAIL"
            message = "; ".join(f"{f.what}: {_shown(f.value)} > {f.most:g}" for f in broken)
    except NotHereError as error:
        state, message = "not here", str(error)
    except Exception as error:
        import traceback

        state, message = "ERROR", f"{type(error).__name__}: {error}"[:2000]
        message += "\n" + traceback.format_exc()[-2500:]
    return {
        "check": check.name,
        "verdict": state,
        "message": message,
        "findings": [f._asdict() for f in found],
    }


def _shown(value: float | str | None) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def distance(found: Tensor, wanted: Tensor) -> float:
    """Return |found - wanted| / |wanted| in fp64; NaN if any number is NaN."""
    wanted = wanted.detach().double().cpu()
    return float((found.detach().double().cpu() - wanted).norm() / wanted.norm())


def needs_cuda(place: Place) -> None:
    """Raise `NotHereError` on CPU."""
    if not place.on_cuda:
        raise NotHereError("needs a CUDA device")


def gib(count: float) -> float:
    """Convert bytes to GiB."""
    return count / 2**30


def reset_peak(place: Place) -> int:
    """Reset the peak of memory; return the bytes held now."""
    if not place.on_cuda:
        return 0
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def peak(place: Place) -> float | None:
    """Return the most bytes held since `reset_peak`; None on CPU."""
    return float(torch.cuda.max_memory_allocated()) if place.on_cuda else None
