"""A check: a function of a place, whose findings are held against bounds or set beside goals."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """Where checks run, and what travelled along."""

    device: torch.device
    is_toy: bool
    """On CPU with tiny sizes: a test of the checks themselves."""
    carried: Path | None = None
    """An experiment directory that was made on CPU; see `check_gpu.py --carry`."""

    @property
    def on_cuda(self) -> bool:
        """Whether there is a CUDA device."""
        return self.device.type == "cuda"

    def directory(self) -> Path:
        """Make an empty directory."""
        return Path(tempfile.mkdtemp(prefix="check-gpu-"))


class Finding(NamedTuple):
    """A figure; `most` is what it must not exceed, `goal` what it is reported beside."""

    what: str
    value: float | str | None
    unit: str = ""
    most: float | None = None
    goal: str = ""

    @property
    def holds(self) -> bool:
        """Whether the figure keeps its bound; NaN keeps none."""
        return self.most is None or (isinstance(self.value, float) and self.value <= self.most)


class NotHereError(Exception):
    """The check needs something that this machine does not have; the message says what."""


class Check(NamedTuple):
    """A named check; `seconds` is how long it may take before it counts as hanging."""

    name: str
    run: Callable[[Place], Iterable[Finding]]
    seconds: float = 60


def verdict(check: Check, place: Place) -> dict[str, Any]:
    """Run a check; an exception is its verdict, and none leaves it."""
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
    """Return |found - wanted| / |wanted|, in fp64; NaN where anything is."""
    wanted = wanted.detach().double().cpu()
    return float((found.detach().double().cpu() - wanted).norm() / wanted.norm())


def needs_cuda(place: Place) -> None:
    """Raise `NotHereError` on CPU."""
    if not place.on_cuda:
        raise NotHereError("needs a CUDA device")


def gib(count: float) -> float:
    """Bytes in GiB."""
    return count / 2**30


def reset_peak(place: Place) -> int:
    """Forget the peak of memory so far; return what is held now, in bytes."""
    if not place.on_cuda:
        return 0
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def peak(place: Place) -> float | None:
    """Return the most bytes held since `reset_peak`; None on CPU."""
    return float(torch.cuda.max_memory_allocated()) if place.on_cuda else None
