"""Compare attention and head with fp64, and measure their memory.

Shapes: T tokens of a row, H query heads, K key/value heads, D a head's width; C tokens, W width,
V vocabulary.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from measures import clock, median
from torch import Tensor

from asymreinforce.update import attention
from asymreinforce.update.head import Head, linear_loss, token_logps
from asymreinforce.update.memory import LogitsBuffer
from asymreinforce.update.packing import PackedRow, Sequences, pack_rows
from gpu.checks import Finding, Place, distance, gib, needs_cuda, peak, reset_peak

BF16_ATTENTION = 0.01
"""Largest relative distance of outputs and gradients from fp64: bf16 keeps 8 bits, 2^-9 each."""
FP32_ATTENTION = 1e-5

ROWS = {
    "sequences alone": [(70, [60]), (1, [150]), (200, [130])],
    "shared prefixes": [(130, [20, 60, 1]), (9, [4, 4]), (90, [70, 80])],
    "short blocks": [(3, [2, 4]), (5, [1]), (2, [3, 3, 1])],
}
"""(prompt tokens, [completion tokens]) of each block."""


def row_of(blocks: list[tuple[int, list[int]]]) -> PackedRow:
    """Return a packed row with one block for each (prompt tokens, [completion tokens])."""
    prompts, completions = [], []
    for number, (prompt, owns) in enumerate(blocks):
        prompts += [np.full(prompt, number)] * len(owns)
        completions += [np.ones(own) for own in owns]
    (row,) = pack_rows(Sequences(prompts, completions), tokens=10**6)
    return row


def seen_by(row: PackedRow, window: int | None) -> Tensor:
    """Return the mask of the tokens that each token sees, segment by segment."""
    tokens = len(row.input_ids_T)
    seen_TT = torch.zeros(tokens, tokens, dtype=torch.bool)
    for start, end, prefix in itertools.chain(*row.segments):
        seen_TT[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
        seen_TT[start:end, prefix] = True
    if window is not None:
        seen_TT &= row.positions_T[:, None] - row.positions_T[None, :] < window
    return seen_TT


def in_fp64(query: Tensor, key: Tensor, value: Tensor, seen_TT: Tensor) -> Tensor:
    """Compute attention by its formula, with all scores at once."""
    repeats = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(repeats, dim=1) for x in (key, value))
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    return (scores.masked_fill(~seen_TT, -math.inf).softmax(-1) @ value).transpose(1, 2)


def attention_errors(
    way: str, row: PackedRow, place: Place, *,
    heads: tuple[int, int], width: int, window: int | None,
    dtypes: tuple[torch.dtype, torch.dtype],
) -> list[float]:  # fmt: skip
    """Return the distances from fp64 of the output and of the gradients of q, k and v.

    `dtypes` are the types of queries and keys, and of values, that the plan receives.
    """
    torch.manual_seed(0)
    tokens, device = len(row.input_ids_T), place.device
    given = [
        torch.randn(1, count, tokens, width, device=device).to(torch.bfloat16)
        for count in (heads[0], heads[1], heads[1])
    ]
    of_q_and_k, of_v = dtypes
    tried = [
        x.to(dtype).requires_grad_()
        for x, dtype in zip(given, (of_q_and_k, of_q_and_k, of_v), strict=True)
    ]
    exact = [x.double().requires_grad_() for x in given]
    found = attention.make_plan(way, row, device)(*tried, scale=width**-0.5, window=window)
    wanted = in_fp64(*exact, seen_by(row, window).to(device))
    outer = torch.randn_like(wanted).to(torch.bfloat16)
    gradients = torch.autograd.grad(found, tried, outer.to(found.dtype))
    wanted_gradients = torch.autograd.grad(wanted, exact, outer.double())
    pairs = zip((found, *gradients), (wanted, *wanted_gradients), strict=True)
    return [distance(one, other) for one, other in pairs]


def varlen(place: Place) -> Iterator[Finding]:
    """Check FlashAttention on packed rows, with the types of autocast and all in bf16."""
    needs_cuda(place)
    bf16, fp32 = torch.bfloat16, torch.float32
    for width, grouping in itertools.product((32, 64, 128), (1, 4, 7)):
        worst = 0.0
        for blocks, window, of_q in itertools.product(ROWS.values(), (None, 40), (fp32, bf16)):
            errors = attention_errors(
                "varlen", row_of(blocks), place,
                heads=(2 * grouping, 2), width=width, window=window, dtypes=(of_q, bf16),
            )  # fmt: skip
            worst = max(worst, *errors)
        yield Finding(f"heads of {width}, {grouping} to a key", worst, "relative", BF16_ATTENTION)


def sdpa(place: Place) -> Iterator[Finding]:
    """Check SDPA by segment on the same rows, in fp32 and bf16."""
    fp32, bf16 = torch.float32, torch.bfloat16
    for dtype, most in ((fp32, FP32_ATTENTION), (bf16, BF16_ATTENTION)):
        worst = 0.0
        for blocks, window in itertools.product(ROWS.values(), (None, 40)):
            errors = attention_errors(
                "sdpa", row_of(blocks), place,
                heads=(8, 2), width=64, window=window, dtypes=(dtype, dtype),
            )  # fmt: skip
            worst = max(worst, *errors)
        yield Finding(str(dtype)[6:], worst, "relative", most)


def attention_memory(place: Place) -> Iterator[Finding]:
    """Measure memory and time of attention, forward and backward, on rows of 16k tokens."""
    needs_cuda(place)
    rows = {
        "8 x 2k": [(700, [1348])] * 8,
        "8 x 4k": [(1000, [3096])] * 8,
        "1k prompt, 8 x 2k": [(1000, [2000] * 8)],
    }
    fp32, bf16 = torch.float32, torch.bfloat16
    held: dict[str, float] = {}
    for (name, blocks), (way, dtype) in itertools.product(
        rows.items(),
        (("varlen", bf16), ("sdpa", bf16), ("sdpa", fp32)),
    ):
        label = f"{way} {str(dtype)[6:]}, {name}"
        memory, seconds = _measured(way, row_of(blocks), place, dtype)
        yield Finding(f"{label}: memory", gib(memory), "GiB")
        yield Finding(f"{label}: time", 1e3 * seconds, "ms")
        held[label] = memory
    twice = held["sdpa float32, 8 x 4k"] / held["sdpa float32, 8 x 2k"]
    yield Finding("sdpa float32, twice the length: memory", twice, "times", 2.5)


def _measured(way: str, row: PackedRow, place: Place, dtype: torch.dtype) -> tuple[float, float]:
    """Return the bytes above the inputs and the median seconds, with the heads of Qwen2.5-3B."""
    tokens = len(row.input_ids_T)
    given = [
        torch.randn(1, heads, tokens, 128, device=place.device, dtype=dtype, requires_grad=True)
        for heads in (16, 2, 2)
    ]
    plan = attention.make_plan(way, row, place.device)

    def both() -> None:
        out = plan(*given, scale=128**-0.5, window=None)
        torch.autograd.grad(out, given, torch.ones_like(out))

    both()
    before = reset_peak(place)
    now, seconds = clock("cuda"), []
    for _ in range(3):
        start = now()
        both()
        seconds.append(now() - start)
    return float(peak(place) or 0) - before, median(seconds)


def heads(place: Place) -> Iterator[Finding]:
    """Check both heads in bf16 over fp32 weights, and in fp32, at a vocabulary of 152 thousand."""
    words, width, tokens = (130, 16, 24) if place.is_toy else (151_936, 896, 600)
    torch.manual_seed(0)
    device = place.device
    weight_VD = 0.05 * torch.randn(words, width, device=device)
    hidden_CD = 2 * torch.randn(tokens, width, device=device)
    targets_C = torch.randint(words, (tokens,), device=device)
    targets_C[: tokens // 2] = (hidden_CD[: tokens // 2] @ weight_VD.T).argmax(
        -1
    )  # likely ones too
    coefficients_C = torch.randn(tokens, device=device)
    for dtype in (torch.bfloat16, torch.float32):
        half = dtype == torch.bfloat16
        rounded = [x.to(dtype) for x in (hidden_CD, weight_VD)]
        wanted = _head_in_fp64(*rounded, targets_C, coefficients_C)
        for name in ("linear", "recomputing"):
            found = _head(name, weight_VD, rounded[0], targets_C, coefficients_C)
            label = f"{name}, {str(dtype)[6:]}"
            off = float((found[0].detach().double() - wanted[0]).abs().max())
            yield Finding(f"{label}: log p", off, "nats", 2e-3 if half else 2e-4)
            for what, one, other in zip(("dL/dh", "dL/dW"), found[1:3], wanted[1:3], strict=True):
                yield Finding(
                    f"{label}: {what}", distance(one, other), "relative", 0.01 if half else 1e-5
                )
            if name == "recomputing":
                yield Finding(f"{label}: entropy", distance(found[3], wanted[3]), "relative", 1e-4)


def _head(
    name: str, weight_VD: Tensor, hidden_CD: Tensor, targets_C: Tensor, coefficients_C: Tensor
) -> list[Any]:
    """Return log p, dL/dh, dL/dW, and the entropy of the recomputing head."""
    weight_VD = weight_VD.clone().requires_grad_()
    hidden_CD = hidden_CD.clone().requires_grad_()
    # Chunks of about 100 tokens, so that sums over chunks are checked too.
    head = Head(weight_VD, None, LogitsBuffer(), 1 + len(targets_C) * len(weight_VD) // 6)
    if name == "linear":
        made = linear_loss(head, hidden_CD, targets_C, coefficients_C)
        return [made.logps_C, made.by_hidden_CD, weight_VD.grad]
    scores = token_logps(head, hidden_CD, targets_C, entropy=True)
    torch.autograd.backward(-(coefficients_C * scores.logps_C).sum())
    return [scores.logps_C, hidden_CD.grad, weight_VD.grad, scores.entropies_C]


def _head_in_fp64(
    hidden_CD: Tensor, weight_VD: Tensor, targets_C: Tensor, coefficients_C: Tensor
) -> list[Tensor]:
    hidden_CD, weight_VD = (x.double().requires_grad_() for x in (hidden_CD, weight_VD))
    logps_CV = (hidden_CD @ weight_VD.T).log_softmax(-1)
    logps_C = logps_CV.gather(1, targets_C[:, None])[:, 0]
    by_hidden, by_weight = torch.autograd.grad(
        -(coefficients_C.double() * logps_C).sum(), (hidden_CD, weight_VD), retain_graph=True
    )
    with torch.no_grad():
        entropies_C = -(logps_CV.exp() * logps_CV).sum(-1)
    return [logps_C.detach(), by_hidden, by_weight, entropies_C]


def environment(place: Place) -> Iterable[Finding]:
    """Report versions and the device."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    yield Finding("python", platform.python_version())
    for name in ("torch", "transformers", "triton", "peft", "trl", "hydra-core", "vllm"):
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "not installed")
    if place.on_cuda:
        of = torch.cuda.get_device_properties(place.device)
        yield Finding("device", of.name)
        yield Finding("memory", gib(of.total_memory), "GiB")
        yield Finding("capability", f"{of.major}.{of.minor}")
        yield Finding("CUDA that torch is built for", torch.version.cuda or "none")
