"""Measuring tools of the benchmarks: CPU time in turns, matrix-product peak, memory, tables."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

LARGE = ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 1024, 1024))
"""Rows, depth and columns of matrix products that find the peak, beside a model's own shapes."""


class Peak:
    """The best matrix product so far, in operations per second; `look` again between rounds."""

    def __init__(
        self,
        shapes: Sequence[tuple[int, int, int]],
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        large: Sequence[tuple[int, int, int]] = LARGE,
    ):
        self.flops_per_s = 0.0
        self._products = [
            (
                torch.randn(rows, depth, dtype=dtype, device=device),
                torch.randn(columns, depth, dtype=dtype, device=device).T,
                torch.empty(rows, columns, dtype=dtype, device=device),
            )
            for rows, depth, columns in (*large, *shapes)
        ]
        self._clock = clock(device)
        self.look()

    def look(self, *, times: int = 3) -> float:
        """Run every shape again; return the best of this look."""
        best = 0.0
        for left, right, out in self._products:
            work = 2.0 * left.shape[0] * left.shape[1] * right.shape[1]
            for _ in range(times):
                start = self._clock()
                torch.mm(left, right, out=out)
                best = max(best, work / (self._clock() - start))
        self.flops_per_s = max(self.flops_per_s, best)
        return best


def clock(device: str) -> Callable[[], float]:
    """Return a clock in seconds: CPU time on a CPU, on a GPU the wall time after its queue ends."""
    if device == "cpu":
        return time.process_time

    def wall() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return wall


def in_turns(
    ways: Mapping[str, Callable[[], Any]],
    *,
    repeats: int,
    device: str = "cpu",
    after_round: Callable[[], Any] = lambda: None,
) -> dict[str, list[float]]:
    """Return the seconds of each way, with all ways measured in every round after a warm-up."""
    now = clock(device)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = now()
            way()
            seconds[name].append(now() - start)
        after_round()
    return seconds


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


class PeakMemory:
    """The peak resident memory of this process above that at the start, in bytes (Linux)."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # this resets the peak (man 5 proc)
        self._start = _status("VmRSS")

    def above(self) -> int:
        """Return the peak since the start, less the resident memory at the start."""
        return _status("VmHWM") - self._start


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {key}")


def in_child(arguments: Sequence[str]) -> Any:
    """Run this script again in a fresh process and return the JSON of its last line."""
    command = [sys.executable, sys.argv[0], *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine() -> dict[str, str]:
    """Describe the machine of the figures."""
    import transformers

    model = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
        model = names[0].split(":")[1].strip() if names else model
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": f"{model}, {os.cpu_count()} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": str(torch.get_num_threads()),
    }


def report(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures and the machine as JSON, if a path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n")
