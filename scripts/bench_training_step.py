"""Compare one optimizer step with the alternatives of a user, on one CPU thread.

    python scripts/bench_training_step.py [--json figures.json] [--vocabulary 64 151936]

The model has the Qwen2 architecture, width 256 and 6 layers. There are 32 sequences of 50 to 512
tokens (the mid-quantiles of a log-normal); a third of each is its prompt, and no prompt is shared.
A step is a gradient, its norm and AdamW; the last two are the same for all ways. Times are measured
in turns in one process, memory in a separate process for each way.

    share of peak = useful operations / (median CPU time x best matrix product of the same run)

The useful operations are `workloads.gradient_flops`: 6 N T + 6 H V S + causal attention. The peak
is measured again after every round. The table also has the share of the peak of the same round,
which is more reliable on a machine with other work.
"""

import argparse
import copy
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import baselines
import numpy as np
import torch
import workloads
from measures import Peak, PeakMemory, in_child, in_turns, median, report, table
from step_ways import OURS, PADDED, ours, ways
from torch import Tensor
from transformers import PreTrainedModel
from workloads import (
    JUDGED,
    SMALL,
    Workload,
    gradient_flops,
    log_normal_lengths,
    workload,
)

REPEATS = {64: 5, 151_936: 3}
WARM_UP = 8
"""Sequences of the unmeasured first step; the micro-batches of baselines have at most as many."""

CONTEXT = 8192
SHAPES = {"judged": JUDGED, "small": SMALL}


def side_by_side(
    vocabulary: int, *, shape: str, sequences: int, repeats: int
) -> list[dict[str, Any]]:
    """Measure one step of every way in turns; check that all make the same gradient."""
    work = workload(log_normal_lengths(sequences), vocabulary=vocabulary)
    model = workloads.random_model(SHAPES[shape], vocabulary=vocabulary, context=1024)
    models = {name: copy.deepcopy(model) for name in ways(vocabulary)}
    prepared = {name: prepare(models[name]) for name, prepare in ways(vocabulary).items()}
    for of in prepared.values():
        of(work.take(WARM_UP))()
    steps = {name: of(work) for name, of in prepared.items()}
    peak = Peak([(1024, 256, 1024), (512, 256, 256), (512, 1024, 256), (512, 256, vocabulary)])
    peaks: list[float] = []
    seconds = in_turns(steps, repeats=repeats, after_round=lambda: peaks.append(peak.look()))
    operations = gradient_flops(model, work.lengths)
    base = gradient(models[PADDED])
    rows = []
    for name, values in seconds.items():
        rows.append(
            {
                "way": name,
                "vocabulary": vocabulary,
                "cpu_s": median(values),
                "cpu_s_all": values,
                "ours_to_this": median(seconds[OURS]) / median(values),
                "share_of_peak": operations / median(values) / peak.flops_per_s,
                "share_of_peak_then": median(
                    [operations / s / best for s, best in zip(values, peaks, strict=True)]
                ),
                "peak_gflops_per_s": peak.flops_per_s / 1e9,
                "distance_of_gradient": float((gradient(models[name]) - base).norm() / base.norm()),
            }
        )
    return rows


def gradient(model: PreTrainedModel) -> Tensor:
    """Return the gradient as one vector."""
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def skipping(*, shape: str, sequences: int, repeats: int) -> dict[str, float]:
    """Measure V = 0 with rewards 0 and 1: wrong sequences cost nothing and add no gradient."""
    work = workload(log_normal_lengths(sequences), vocabulary=64)
    correct_B = torch.from_numpy(np.random.default_rng(2).random(sequences) < 0.4).double()
    model = workloads.random_model(SHAPES[shape], vocabulary=64, context=1024)
    of_all, of_correct, by_padding = (copy.deepcopy(model) for _ in range(3))
    steps = {
        "all": ours(of_all)(work),
        "correct": ours(of_correct)(Workload(work.sequences, correct_B)),
    }
    for step in steps.values():
        step()
    seconds = in_turns(steps, repeats=repeats)
    baselines.padded(by_padding, work.sequences, correct_B, rows=2)
    tokens_B = torch.tensor([prompt + completion - 1 for prompt, completion in work.lengths])
    base = gradient(by_padding)
    return {
        "share_of_tokens": float((tokens_B * correct_B).sum() / tokens_B.sum()),
        "share_of_time": median(seconds["correct"]) / median(seconds["all"]),
        "distance_of_gradient": float((gradient(of_correct) - base).norm() / base.norm()),
    }


class Point(NamedTuple):
    """A step to measure in a separate process."""

    way: str
    shape: str
    vocabulary: int
    lengths: list[int]
    repeats: int


def measure_alone(point: Point) -> dict[str, float]:
    """Return the CPU seconds of a step and its peak memory above the loaded model."""
    work = workload(point.lengths, vocabulary=point.vocabulary)
    model = workloads.random_model(
        SHAPES[point.shape], vocabulary=point.vocabulary, context=CONTEXT
    )
    prepared = ways(point.vocabulary)[point.way](model)
    whole = prepared(work)
    memory = PeakMemory()
    prepared(work.take(WARM_UP))()  # the first step allocates the optimizer's state
    seconds = in_turns({"step": whole}, repeats=point.repeats)["step"]
    return {
        "cpu_s": median(seconds),
        "tokens_per_s": sum(point.lengths) / median(seconds),
        "gflops_per_s": gradient_flops(model, work.lengths) / median(seconds) / 1e9,
        "memory_mb": memory.above() / 1e6,
    }


def memory_of(vocabulary: int, *, shape: str, sequences: int) -> list[dict[str, Any]]:
    """Return the peak memory of every way."""
    lengths = log_normal_lengths(sequences)
    points = {way: Point(way, shape, vocabulary, lengths, 1) for way in ways(vocabulary)}
    return [{"way": way, "vocabulary": vocabulary, **alone(point)} for way, point in points.items()]


def alone(point: Point) -> dict[str, float]:
    """Measure a point in a fresh process."""
    found: dict[str, float] = in_child(["--point", json.dumps(point)])
    return found


def growth(*, toy: bool) -> dict[str, list[dict[str, Any]]]:
    """Measure how the cost of our step grows, on a narrow model of two layers."""
    most, lengths = (128, log_normal_lengths(8 if toy else 32))
    copies = 2 if toy else most
    tokens = 512 if toy else CONTEXT

    def point(lengths: list[int], vocabulary: int = 64, repeats: int = 3) -> dict[str, float]:
        return alone(Point(OURS, "small", vocabulary, lengths, repeats))

    rollouts = {
        len(lengths): point(lengths, repeats=9),
        copies * len(lengths): point(lengths * copies, repeats=1),
    }
    long = {n: point([n] * (tokens // n)) for n in (128, 512, 2048, 8192) if n <= tokens}
    vocabularies = (64, 4096) if toy else (64, 4096, 32_768, 151_936)
    words = {size: point(lengths[:8], vocabulary=size) for size in vocabularies}
    return {
        axis: [{axis: at, **figures} for at, figures in points.items()]
        for axis, points in (("rollouts", rollouts), ("tokens", long), ("vocabulary", words))
    }


STEP_COLUMNS = {
    "way": "{way}",
    "CPU s, median": "{cpu_s:.2f}",
    "ours / this": "{ours_to_this:.2f}",
    "share of the run's peak": "{share_of_peak:.0%}",
    "of its round's": "{share_of_peak_then:.0%}",
    "gradient's distance from padded": "{distance_of_gradient:.0e}",
}
MEMORY_COLUMNS = {"way": "{way}", "MB above the loaded model": "{memory_mb:.0f}"}
GROWTH_COLUMNS = {
    "tokens/s": "{tokens_per_s:.0f}",
    "useful GFLOP/s": "{gflops_per_s:.1f}",
    "MB above the loaded model": "{memory_mb:.0f}",
}


def show(title: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of figures."""
    print(f"\n{title}\n")
    body = [[form.format(**row) for form in columns.values()] for row in rows]
    print(table(list(columns), body), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[64, 151_936])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--repeats", type=int, help="rounds; 5, or 3 for a large vocabulary")
    parser.add_argument("--toy", action="store_true", help="seconds instead of minutes: a test")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.point:
        print(json.dumps(measure_alone(Point(*chosen.point))))
        return
    figures: dict[str, Any] = {}
    for part in chosen.parts:
        figures[part] = PARTS[part](chosen)
        report(chosen.json, figures)
    if not baselines.has_trl():
        print(f"\nTRL: not measured; pip install trl=={baselines.TRL_VERSION}")


def size(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the size of the measurements: the judged shape and 32 sequences, or a toy."""
    return {"shape": "small" if chosen.toy else "judged", "sequences": 8 if chosen.toy else 32}


def step_part(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Time every way."""
    found: list[dict[str, Any]] = []
    for vocabulary in chosen.vocabulary:
        repeats = chosen.repeats or REPEATS.get(vocabulary, 3)
        rows = side_by_side(vocabulary, **size(chosen), repeats=repeats)
        peak = rows[0]["peak_gflops_per_s"]
        show(f"A step, vocabulary {vocabulary:,}; peak {peak:.1f} GFLOP/s", STEP_COLUMNS, rows)
        found += rows
    return found


def memory_part(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the memory of every way."""
    found: list[dict[str, Any]] = []
    for vocabulary in chosen.vocabulary:
        rows = memory_of(vocabulary, **size(chosen))
        show(f"Peak memory of a step, vocabulary {vocabulary:,}", MEMORY_COLUMNS, rows)
        found += rows
    return found


def skipping_part(chosen: argparse.Namespace) -> dict[str, float]:
    """Measure the gain of leaving out wrong sequences."""
    found = skipping(**size(chosen), repeats=chosen.repeats or 5)
    columns = {
        "share of tokens that are correct": "{share_of_tokens:.3f}",
        "share of time": "{share_of_time:.3f}",
        "gradient's distance from padded": "{distance_of_gradient:.0e}",
    }
    show("V = 0, rewards 0 and 1: only correct sequences are computed", columns, [found])
    return found


def growth_part(chosen: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Measure the growth with rollouts, lengths and vocabulary."""
    found = growth(toy=chosen.toy)
    for axis, rows in found.items():
        show(f"Growth with {axis}", {axis: f"{{{axis}:,}}", **GROWTH_COLUMNS}, rows)
    return found


PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "step": step_part,
    "memory": memory_part,
    "skipping": skipping_part,
    "growth": growth_part,
}


if __name__ == "__main__":
    main()
