"""Measure one CUDA device: MFU, tokens per second, memory, head, prefix sharing, baselines.

Models have Qwen2.5 shapes and random fp32 weights, and compute in bf16 (autocast). A measured step
includes AdamW's.

    MFU = useful operations / (median wall time x dense bf16 peak of the data sheet)

The useful operations are `workloads.gradient_flops`: 6 N T + 6 H V S + causal attention.
"""

import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from measures import Peak, in_turns, median
from torch import Tensor
from workloads import (
    Optimizer,
    Shape,
    Workload,
    gradient_flops,
    log_normal_lengths,
    random_model,
    workload,
)

from asymreinforce.update.head import Head, linear_loss, token_logps
from asymreinforce.update.memory import LogitsBuffer
from asymreinforce.update.packing import Sequences
from asymreinforce.update.trainer import Trainer
from gpu.checks import Finding, NotHereError, Place, gib, peak, reset_peak
from gpu.ways import QWEN, RANK, REAL, TOY, WAYS, scale_of

DATA_SHEET = {"H200": 989.4e12, "H100 PCIe": 756e12, "H100": 989.4e12, "A100": 312e12}
"""Dense bf16 operations per second by NVIDIA's data sheets; the first matching name counts."""
MFU_GOALS = {"0.5B": ">= 50%", "1.5B": ">= 55%", "3B": ">= 60%"}
WARM_UP = 2
"""Steps that are not measured: the first also compiles."""


def data_sheet_peak(place: Place) -> float | None:
    """Return the bf16 peak of the data sheet; None if the device is unknown."""
    name = torch.cuda.get_device_name() if place.on_cuda else ""
    return next((peak for key, peak in DATA_SHEET.items() if key in name), None)


def peaks(place: Place) -> Iterator[Finding]:
    """Yield the best measured rates of a matrix product and of a copy."""
    large = [(8192, 8192, 8192), (16_384, 4096, 4096)] if place.on_cuda else [(256, 256, 256)]
    dtype = torch.bfloat16 if place.on_cuda else torch.float32
    found = Peak([], dtype=dtype, device=place.device.type, large=large)
    for _ in range(3):
        found.look()
    yield Finding("matrix product", found.flops_per_s / 1e12, "TFLOP/s")
    if place.on_cuda:
        one = torch.empty(2**30, dtype=torch.float32, device=place.device)
        other = torch.empty_like(one)
        (seconds,) = in_turns({"": lambda: other.copy_(one)}, repeats=5, device="cuda").values()
        yield Finding("copy, read and written", 2**33 / median(seconds) / 1e12, "TB/s")


class Measured(NamedTuple):
    """A step: its median seconds, peak bytes, and needed operations."""

    seconds: float
    memory: float | None
    operations: float


def step(way: str, shape: Shape, place: Place, work: Workload) -> Measured:
    """Measure one way, alone on the device."""
    scale = scale_of(place)
    reset_peak(place)
    model = random_model(
        shape, vocabulary=scale.vocabulary, context=2 * scale.length, device=place.device.type
    )
    try:
        run = WAYS[way].prepare(model, scale, place)(work)
        for _ in range(WARM_UP):
            run()
        seconds = in_turns({way: run}, repeats=scale.repeats, device=place.device.type)[way]
        operations = WAYS[way].share * gradient_flops(model, work.lengths)
        return Measured(median(seconds), peak(place), operations)
    finally:
        del model
        gc.collect()
        torch._dynamo.reset()


def packed(shape: str, way: str, place: Place) -> Iterator[Finding]:
    """Yield MFU, tokens per second and peak memory of a step of equal lengths in one packed row."""
    scale = scale_of(place)
    work = workload([scale.length] * (scale.tokens // scale.length), vocabulary=scale.vocabulary)
    found = step(way, TOY if place.is_toy else QWEN[shape], place, work)
    sheet = data_sheet_peak(place)
    if sheet:
        goal = MFU_GOALS[shape] if way in ("plain", "compiled") else ""
        yield Finding("MFU", 100 * found.operations / found.seconds / sheet, "%", goal=goal)
    yield Finding("a step", 1e3 * found.seconds, "ms")
    yield Finding("speed", sum(map(sum, work.lengths)) / found.seconds, "tokens/s")
    if found.memory:
        yield Finding("peak memory", gib(found.memory), "GiB")
        planned = _planned(shape, way, place)
        yield Finding("peak memory over asymrl plan's", found.memory / planned, "times")


def _planned(shape: str, way: str, place: Place) -> float:
    """Return the bytes that `asymrl plan` predicts."""
    from asymreinforce.planning.shape import Shape as Counted
    from asymreinforce.planning.training_memory import training_memory
    from asymreinforce.update.head import most_logits

    of = QWEN[shape]
    counted = Counted(
        layers=of.layers,
        width=of.hidden,
        intermediate=of.intermediate,
        heads=of.query_heads,
        kv_heads=of.key_value_heads,
        head_width=of.hidden // of.query_heads,
        vocabulary=REAL.vocabulary,
        tied=of.tied,
        biases=True,
    )
    return training_memory(
        counted,
        tokens=REAL.tokens,
        workspace=most_logits(place.device),
        half=True,
        lora_rank=RANK if way == "adapters" else None,
        recomputes=way == "checkpointed",
        is_compiled=way == "compiled",
    ).total


def rivals(place: Place) -> Iterator[Finding]:
    """Yield tokens per second on log-normal lengths: ours, TRL, padding, sorting by length."""
    scale = scale_of(place)
    work = workload(
        log_normal_lengths(scale.sequences, shortest=scale.length // 10, longest=scale.length),
        vocabulary=scale.vocabulary,
    )
    speeds: dict[str, float] = {}
    for way in ("plain", "compiled", "TRL RLOO", "padded", "length-sorted"):
        if way == "compiled" and place.is_toy:
            continue
        try:
            found = step(way, TOY if place.is_toy else QWEN["1.5B"], place, work)
        except (NotHereError, torch.OutOfMemoryError) as error:
            yield Finding(way, f"not measured: {str(error)[:100]}")
            continue
        speeds[way] = sum(map(sum, work.lengths)) / found.seconds
        yield Finding(way, speeds[way], "tokens/s")
        if found.memory:
            yield Finding(f"{way}: peak memory", gib(found.memory), "GiB")
    if "TRL RLOO" in speeds:
        for way in ("plain", "compiled"):
            if way in speeds:
                ratio = speeds[way] / speeds["TRL RLOO"]
                yield Finding(f"{way} over TRL", ratio, "times", goal=">= 2")


def head(place: Place) -> Iterator[Finding]:
    """Measure the head, forward and backward, at width 4,096, vocabulary 131,072, 8,192 tokens."""
    width, words, tokens = (16, 64, 32) if place.is_toy else (4096, 131_072, 8192)
    precision = torch.bfloat16 if place.on_cuda else torch.float32
    torch.manual_seed(0)

    def normal(*size: int, dtype: torch.dtype) -> Tensor:
        return torch.randn(*size, device=place.device, dtype=dtype)

    hidden_CD = normal(tokens, width, dtype=precision).requires_grad_()
    weight_VD = (0.02 * normal(words, width, dtype=torch.float32)).requires_grad_()
    weight_VD.grad, hidden_CD.grad = torch.zeros_like(weight_VD), torch.zeros_like(hidden_CD)
    targets_C = torch.randint(words, (tokens,), device=place.device)
    coefficients_C = normal(tokens, dtype=torch.float32)

    def linear(head: Head) -> None:
        linear_loss(head, hidden_CD, targets_C, coefficients_C)

    def recomputing(head: Head) -> None:
        logps_C = token_logps(head, hidden_CD, targets_C).logps_C
        torch.autograd.backward(-(coefficients_C * logps_C).sum())

    ways: dict[str, Callable[[], None]] = {}
    for name, way in (("linear", linear), ("recomputing", recomputing)):
        before = reset_peak(place)
        ways[name] = functools.partial(way, Head(weight_VD, None, LogitsBuffer()))
        ways[name]()
        if place.on_cuda:
            yield Finding(f"{name}: memory", gib(float(peak(place) or 0) - before), "GiB")
    for name, seconds in in_turns(ways, repeats=10, device=place.device.type).items():
        goal = "<= 38 ms" if name == "linear" else ""
        yield Finding(name, 1e3 * median(seconds), "ms", goal=goal)


SHARING = {
    "1,000 / 100": (1000, 100, 8, ">= 4"),
    "8k / 4k": (8192, 4096, 1, ">= 1.7"),
    "16k / 64": (16_384, 64, 1, ">= 7"),
}
"""Prompt and completion tokens, groups, and the goal; G = 8, Qwen2.5-0.5B."""
SAMPLES = 8


def sharing(place: Place) -> Iterator[Finding]:
    """Measure how much faster a gradient is if the samples of a prompt share its computation."""
    words = 128 if place.is_toy else 151_936
    shape = TOY if place.is_toy else QWEN["0.5B"]
    model = random_model(shape, vocabulary=words, context=32_768, device=place.device.type)
    trainer = Trainer(
        model,
        Optimizer(),  # type: ignore[arg-type]
        tokens_per_micro_batch=512 if place.is_toy else 8192 + SAMPLES * 4096,
        autocast=place.on_cuda,
    )
    for name, (prompt, completion, groups, goal) in SHARING.items():
        if place.is_toy:
            prompt, completion = prompt // 128, max(2, completion // 128)
        works = {
            way: _group(prompt, completion, groups, words, shared=way == "shared")
            for way in ("shared", "apart")
        }
        steps: dict[str, Callable[[], Any]] = {
            way: functools.partial(trainer._accumulate, *work) for way, work in works.items()
        }
        for run in steps.values():
            run()
        seconds = in_turns(steps, repeats=3, device=place.device.type)
        ratio = median(seconds["apart"]) / median(seconds["shared"])
        yield Finding(name, ratio, "times", goal=goal)
        yield Finding(f"{name}: shared", 1e3 * median(seconds["shared"]), "ms")


def _group(
    prompt: int, completion: int, groups: int, words: int, *, shared: bool
) -> tuple[Sequences, Tensor]:
    """Return groups of G samples; if `apart`, each sample has another prompt."""
    generator = np.random.default_rng(0)
    prompts: list[np.ndarray] = []
    for _ in range(groups):
        one = generator.integers(2, words, prompt)
        prompts += [one if shared else np.roll(one, n) for n in range(SAMPLES)]
    completions = [generator.integers(2, words, completion) for _ in prompts]
    return Sequences(prompts, completions), torch.linspace(-1, 1, len(prompts))
