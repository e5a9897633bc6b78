"""A stand-in for `torch.nn.attention.varlen.varlen_attn`: the CUDA kernel's rules, on CPU.

The rules are those of FlashAttention's `mha_varlen_fwd` (torch 2.11 to 2.13): one half precision
for all three, heads of a multiple of 8 up to 256 wide, query heads a multiple of key heads, integer
bounds from 0 to the number of tokens, and the longest segments as stated.
"""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from asymreinforce.update.attention import varlen


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Tensor:
    """What FlashAttention promises: a sequence at a time, causal order aligned to the last key.

    It keeps all of the kernel's rules but that of half precision, in which a small error in a plan
    would not show.
    """
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError("query and key must have the same dtype")
    heads, head_width = query.shape[1:]
    if head_width % 8 or head_width > 256:
        raise RuntimeError(f"head_size {head_width} must be a multiple of 8, at most 256")
    if heads % key.shape[1]:
        raise RuntimeError("Number of heads in key/value must divide number of heads in query")
    if not enable_gqa and heads != key.shape[1]:
        raise ValueError(f"Expect the same number of heads but got {heads} and {key.shape[1]}")
    for bounds, tokens, longest in ((cu_seq_q, query, max_q), (cu_seq_k, key, max_k)):
        if bounds.dtype != torch.int32:
            raise RuntimeError("cu_seqlens must have dtype int32")
        assert int(bounds[0]) == 0
        assert int(bounds[-1]) == len(tokens)
        assert longest == int(bounds.diff().max())
    left, right = window_size
    assert right == 0, "causal order is said by a window"
    key, value = (x.repeat_interleave(heads // x.shape[1], dim=1) for x in (key, value))
    outs = []
    for q0, q1, k0, k1 in zip(
        cu_seq_q[:-1], cu_seq_q[1:], cu_seq_k[:-1], cu_seq_k[1:], strict=True
    ):
        q, k, v = (x.transpose(0, 1) for x in (query[q0:q1], key[k0:k1], value[k0:k1]))
        distance = (k1 - k0 - q1 + q0) + torch.arange(q1 - q0)[:, None] - torch.arange(k1 - k0)
        seen = distance >= 0 if left < 0 else (distance >= 0) & (distance <= left)
        precision = torch.promote_types(q.dtype, torch.float32)
        scores = q.to(precision) @ k.to(precision).transpose(1, 2)
        scores = (scores * (scale or 1 / math.sqrt(head_width))).masked_fill(~seen, -math.inf)
        outs.append((scores.softmax(-1) @ v.to(precision)).transpose(0, 1))
    return torch.cat(outs).to(query.dtype)


@functools.wraps(attend)  # whose signature tells that it takes grouped heads
def varlen_attn(query: Tensor, *rest: Any, **more: Any) -> Tensor:
    """All of the kernel's rules."""
    if query.dtype not in (torch.float16, torch.bfloat16):
        raise RuntimeError("FlashAttention only support fp16 and bf16 data type")
    return attend(query, *rest, **more)


@contextmanager
def in_place_of_cuda(kernel: object = varlen_attn) -> Iterator[None]:
    """Let the plans of `varlen` call the stand-in."""
    import torch.nn.attention.varlen as module

    real = module.varlen_attn
    varlen._varlen_kernel.cache_clear()
    module.varlen_attn = kernel  # type: ignore[assignment]
    try:
        yield
    finally:
        module.varlen_attn = real
        varlen._varlen_kernel.cache_clear()
