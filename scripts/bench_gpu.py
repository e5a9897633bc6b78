"""The trainer's step on one CUDA device: MFU, tokens a second, memory, and the head by itself.

    python scripts/bench_gpu.py figures.json              # one GPU of 80 GB or more
    python scripts/bench_gpu.py figures.json --toy        # seconds on a CPU: a test of the script

Self-contained: torch, transformers and pyarrow suffice, in a checkout that is not installed. TRL is
measured where its pinned release can be imported, else its rows say 'not measured'. Qwen2.5 shapes
from a random start, weights in fp32, computed in bf16 (autocast), AdamW's step included.

    MFU = useful operations / (median wall time x dense bf16 peak of the data sheet)

where the useful operations are `workloads.gradient_flops`: 6 N T + 6 H V S + causal attention; the
share of the best matrix product that this device was seen to run stands beside it.
"""

import argparse
import functools
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import baselines
import torch
from bench_training_step import Optimizer, Prepared, with_optimizer
from measures import Peak, in_turns, machine, median, report, table
from torch import Tensor
from transformers import PreTrainedModel
from workloads import Shape, Workload, gradient_flops, log_normal_lengths, random_model, workload

from asymreinforce.policy.head import Head, Scratch, linear_loss, token_logps
from asymreinforce.policy.trainer import Trainer

VOCABULARY = 151_936
QWEN = {
    "0.5B": Shape(896, 24, 4864, 14, 2),
    "1.5B": Shape(1536, 28, 8960, 12, 2),
    "3B": Shape(2048, 36, 11_008, 16, 2),
}
TOY = Shape(32, 2, 64, 2, 1)

DATA_SHEET = {"H200": 989.4e12, "H100 PCIe": 756e12, "H100": 989.4e12, "A100": 312e12}
"""Dense bf16 operations a second by NVIDIA's data sheets, the first name that fits counting."""

NOT_MEASURED = "not measured"


class Scale(NamedTuple):
    """How much is measured."""

    device: str
    shapes: dict[str, Shape]
    vocabulary: int
    tokens: int
    """Of a packed row."""
    length: int
    """Of each sequence, where all are equal."""
    longest: int
    sequences: int
    """Of the step with log-normal lengths."""
    rows: int
    """Sequences of a baseline's micro-batch."""
    repeats: int

    @property
    def peak(self) -> float | None:
        """The data sheet's bf16 peak, where the device is known."""
        name = torch.cuda.get_device_name() if self.device == "cuda" else ""
        return next((peak for key, peak in DATA_SHEET.items() if key in name), None)


REAL = Scale("cuda", QWEN, VOCABULARY, 16_384, 2048, 2048, 32, 4, 5)
SMALL = Scale("cpu", {"toy": TOY}, 128, 256, 64, 64, 8, 4, 2)


def ours(model: PreTrainedModel, scale: Scale) -> Prepared:
    """The package's trainer in bf16."""
    trainer = Trainer(
        model,
        Optimizer(),  # type: ignore[arg-type]
        tokens_per_micro_batch=scale.tokens,
        autocast=scale.device == "cuda",
    )
    return lambda work: lambda: trainer.step(*work)


def padding(
    gradient: Callable[..., None],
) -> Callable[[PreTrainedModel, Scale], Prepared]:
    """A padded baseline in bf16."""

    def prepare(model: PreTrainedModel, scale: Scale) -> Prepared:
        finished = with_optimizer(model)

        def run(work: Workload) -> None:
            with torch.autocast(scale.device, torch.bfloat16, enabled=scale.device == "cuda"):
                gradient(model, *work, rows=scale.rows)

        return lambda work: lambda: finished(lambda: run(work))

    return prepare


def trl(model: PreTrainedModel, scale: Scale) -> Prepared:
    """TRL's loss step; bf16 by its own setting."""
    gradient_of = baselines.trl_rloo(model, rows=scale.rows)
    finished = with_optimizer(model)

    def of(work: Workload) -> Callable[[], None]:
        gradient = gradient_of(*work)
        return lambda: finished(gradient)

    return of


WAYS: dict[str, Callable[[PreTrainedModel, Scale], Prepared]] = {
    "asymreinforce": ours,
    "TRL RLOO": trl,
    "padded": padding(baselines.padded),
    "length-sorted": padding(baselines.length_sorted),
}


def step(way: str, shape: str, scale: Scale, work: Workload) -> dict[str, Any]:
    """Measure one way alone on the device: seconds, tokens a second, operations, peak memory."""
    if way == "TRL RLOO" and not baselines.has_trl():
        return {
            "shape": shape,
            "way": way,
            "problem": f"trl {baselines.TRL_VERSION} is not installed",
        }
    model = random_model(
        scale.shapes[shape], vocabulary=scale.vocabulary, context=2 * scale.longest
    ).to(scale.device)
    loaded = allocated(scale)
    try:
        run = WAYS[way](model, scale)(work)
        run()
        reset_peak(scale)
        seconds = in_turns({way: run}, repeats=scale.repeats, device=scale.device)[way]
    except torch.cuda.OutOfMemoryError:
        return {"shape": shape, "way": way, "problem": "out of memory"}
    finally:
        gc.collect()
    operations = gradient_flops(model, work.lengths) / median(seconds)
    return {
        "shape": shape,
        "way": way,
        "seconds": median(seconds),
        "seconds_all": seconds,
        "tokens_per_s": sum(map(sum, work.lengths)) / median(seconds),
        "tflops_per_s": operations / 1e12,
        "mfu": operations / scale.peak if scale.peak else None,
        "share_of_measured_peak": None,
        "memory_gb": (peak_allocated(scale) - loaded) / 1e9 if scale.device == "cuda" else None,
    }


def heads(shape: str, scale: Scale) -> dict[str, Any]:
    """The head whose gradient is made in the forward pass, against the recomputing one.

    Extra memory is the peak above the inputs and the gradients of both, the workspace included.
    """
    width, count = scale.shapes[shape].hidden, scale.tokens
    precision = torch.bfloat16 if scale.device == "cuda" else torch.float32
    generator = torch.Generator(scale.device).manual_seed(0)

    def normal(*size: int, dtype: torch.dtype) -> Tensor:
        return torch.randn(*size, generator=generator, device=scale.device, dtype=dtype)

    hidden_CD = normal(count, width, dtype=precision).requires_grad_()
    weight_VD = (0.02 * normal(scale.vocabulary, width, dtype=torch.float32)).requires_grad_()
    weight_VD.grad = torch.zeros_like(weight_VD)
    hidden_CD.grad = torch.zeros_like(hidden_CD)
    targets_C = torch.randint(scale.vocabulary, (count,), generator=generator, device=scale.device)
    coefficients_C = normal(count, dtype=torch.float32)

    def forward_made(head: Head) -> None:
        linear_loss(head, hidden_CD, targets_C, coefficients_C)

    def recomputing(head: Head) -> None:
        logps_C = token_logps(head, hidden_CD, targets_C).logps_C
        torch.autograd.backward(-(coefficients_C * logps_C).sum())

    ways: dict[str, Callable[[], None]] = {}
    memory: dict[str, float | None] = {}
    for name, way in (("forward", forward_made), ("recomputing", recomputing)):
        reset_peak(scale)
        before = allocated(scale)
        ways[name] = functools.partial(way, Head(weight_VD, None, Scratch()))
        ways[name]()
        on_gpu = scale.device == "cuda"
        memory[name] = (peak_allocated(scale) - before) / 1e9 if on_gpu else None
    seconds = in_turns(ways, repeats=2 * scale.repeats, device=scale.device)
    return {
        "shape": shape,
        "tokens": count,
        "forward_s": median(seconds["forward"]),
        "recomputing_s": median(seconds["recomputing"]),
        "ratio": median(seconds["forward"]) / median(seconds["recomputing"]),
        "forward_extra_gb": memory["forward"],
        "recomputing_extra_gb": memory["recomputing"],
    }


def allocated(scale: Scale) -> int:
    """Bytes that the device holds now; 0 on CPU."""
    return torch.cuda.memory_allocated() if scale.device == "cuda" else 0


def peak_allocated(scale: Scale) -> int:
    """The most bytes that it held since `reset_peak`; 0 on CPU."""
    return torch.cuda.max_memory_allocated() if scale.device == "cuda" else 0


def reset_peak(scale: Scale) -> None:
    """Forget the peak so far."""
    if scale.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def measure(scale: Scale, path: Path) -> None:
    """Run everything, print tables, and write the figures after each of them."""
    peak = Peak(
        [(scale.tokens, shape.hidden, shape.intermediate) for shape in scale.shapes.values()],
        dtype=torch.bfloat16 if scale.device == "cuda" else torch.float32,
        device=scale.device,
        large=[(8192, 8192, 8192), (16_384, 4096, 4096)] if scale.device == "cuda" else [],
    )
    equal = workload([scale.length] * (scale.tokens // scale.length), vocabulary=scale.vocabulary)
    spread = workload(
        log_normal_lengths(scale.sequences, shortest=scale.longest // 10, longest=scale.longest),
        vocabulary=scale.vocabulary,
    )
    figures: dict[str, Any] = {"packed": [], "log_normal": [], "heads": []}

    def add(part: str, row: dict[str, Any]) -> None:
        if "tflops_per_s" in row:
            peak.look()
            row["share_of_measured_peak"] = row["tflops_per_s"] * 1e12 / peak.flops_per_s
        figures[part].append(row)
        report(path, {"measured_peak_tflops_per_s": peak.flops_per_s / 1e12, **figures})

    for shape in scale.shapes:
        add("packed", step("asymreinforce", shape, scale, equal))
    for shape in scale.shapes:
        for way in WAYS:
            add("log_normal", step(way, shape, scale, spread))
    for shape in scale.shapes:
        add("heads", heads(shape, scale))
    print(f"{machine()}\nmeasured matrix-product peak: {peak.flops_per_s / 1e12:.3g} TFLOP/s")
    show(f"{scale.length} tokens a sequence, packed to {scale.tokens}", STEPS, figures["packed"])
    show(f"log-normal lengths up to {scale.longest}", STEPS, figures["log_normal"])
    show(f"the head on {scale.tokens} tokens", HEADS, figures["heads"])


STEPS = {
    "shape": "",
    "way": "",
    "seconds": ".3f",
    "tokens_per_s": ",.0f",
    "mfu": ".1%",
    "share_of_measured_peak": ".1%",
    "memory_gb": ".2f",
}
HEADS = {
    "shape": "",
    "forward_s": ".4f",
    "recomputing_s": ".4f",
    "ratio": ".2f",
    "forward_extra_gb": ".2f",
    "recomputing_extra_gb": ".2f",
}


def show(title: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Print a table, and why rows have no figures."""

    def cell(row: dict[str, Any], key: str) -> str:
        value = row.get(key)
        return NOT_MEASURED if value is None else format(value, columns[key])

    print(f"\n{title}\n\n{table(list(columns), [[cell(r, k) for k in columns] for r in rows])}")
    for row in rows:
        if "problem" in row:
            print(f"{row['shape']}, {row['way']}: {row['problem']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json", type=Path, help="where to write the figures")
    parser.add_argument("--toy", action="store_true", help="tiny shapes on CPU: a test")
    parser.add_argument("--shapes", nargs="+", choices=list(QWEN), default=list(QWEN))
    chosen = parser.parse_args()
    if not (chosen.toy or torch.cuda.is_available()):
        parser.error("there is no CUDA device; --toy tests the script on CPU")
    real = REAL._replace(shapes={name: QWEN[name] for name in chosen.shapes})
    measure(SMALL if chosen.toy else real, chosen.json)


if __name__ == "__main__":
    main()
