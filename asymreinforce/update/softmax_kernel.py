"""The Triton kernel of `softmax.py`: one program per row of logits, which reads the row twice.

The first pass keeps, in each of BLOCK lanes, the largest logit m and s = sum exp(z - m) of the
logits that the lane has seen (Milakov and Gimelshein 2018, Algorithm 3, in each lane). The second
pass overwrites the row with p - [v = y], half as wide as the logits. No write reaches logits that
another lane still has to read, because all lanes read a block before any lane writes it.
"""

from typing import Any

import triton
import triton.language as tl

LOWEST: Any = tl.constexpr(-3.0e38)
"""Below every logit, and finite: in a lane without logits, -inf - -inf would be NaN."""


@triton.jit  # type: ignore[untyped-decorator]
def softmax_at_targets(  # type: ignore[no-untyped-def]
    logits,
    targets,
    logps,
    entropies,
    differences,
    words,
    logits_stride,
    differences_stride,
    HAS_ENTROPY: tl.constexpr,
    HAS_DIFFERENCE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Store log p[y] and the entropy of a row, and p - [v = y] in place of its logits."""
    row = tl.program_id(0).to(tl.int64)
    logits += row * logits_stride
    target = tl.load(targets + row)
    target_logit = tl.load(logits + target)
    lanes = tl.arange(0, BLOCK)
    largest = tl.full((BLOCK,), LOWEST, tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    weighted = tl.zeros((BLOCK,), tl.float32)  # sum of exp(z - m) (z - m)
    for start in range(0, words, BLOCK):
        at = start + lanes
        z = tl.load(logits + at, mask=at < words, other=LOWEST)
        m = tl.maximum(largest, z)
        scale, e = tl.exp(largest - m), tl.exp(z - m)
        e = tl.where(at < words, e, 0.0)  # an empty lane has z = m, so exp(z - m) would be 1
        if HAS_ENTROPY:
            weighted = scale * (weighted + total * (largest - m)) + e * (z - m)
        total = scale * total + e
        largest = m
    m = tl.max(largest, axis=0)
    scale = tl.exp(largest - m)
    if HAS_ENTROPY:
        weighted_sum = tl.sum(scale * (weighted + total * (largest - m)), axis=0)
    z_sum = tl.sum(scale * total, axis=0)
    tl.store(logps + row, target_logit - m - tl.log(z_sum))
    if HAS_ENTROPY:  # H = log sum exp(z - m) - sum p (z - m)
        tl.store(entropies + row, tl.log(z_sum) - weighted_sum / z_sum)
    if HAS_DIFFERENCE:
        differences += row * differences_stride
        for start in range(0, words, BLOCK):
            at = start + lanes
            z = tl.load(logits + at, mask=at < words, other=LOWEST)
            p = tl.exp(z - m) / z_sum - tl.where(at == target, 1.0, 0.0)
            tl.debug_barrier()  # no lane may write before every lane has read this block
            tl.store(differences + at, p.to(differences.dtype.element_ty), mask=at < words)
