"""Gradient ascent on the logits of a tabular softmax policy, many chains at once.

    AsymRE, exact:      l(y) <- l(y) + eta (a(y) - d pi(y)),   a(y) = mu(y)(r(y) - V),  d = sum a
    any update:         l(y) <- l(y) + eta (k(y) - pi(y) sum k),  k(y) = w(y) a(y)

l are the logits of pi, eta the learning rate, w the update's weight (`updates.py`), 1 for AsymRE. a
may be an estimate from sampled arms (`sampling.py`).

Shapes: C chain, A arm.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat

import torch
from torch import Tensor

from asymreinforce.bandit.problem import Flow

BLOCK = 40_000
"""Logits that advance together: three float64 arrays of this length fill 1 MB of L2 cache."""

RECENTRE_EVERY = 64
SAFE_EXPONENT = 400.0
"""Powers of two that logits may rise between two re-centrings; float64 overflows at 1024."""


def advance_logits(logits_CA: Tensor, flow: Flow, *, lr_C: Tensor, steps: int) -> Tensor:
    """Take exact AsymRE steps: l <- l + eta (a - d pi), `steps` times; returns new logits (C, A).

    The result is shifted so that each chain's largest logit was 0 at the last re-centring.
    """
    rows = max(1, BLOCK // logits_CA.shape[1])
    blocks = [slice(first, first + rows) for first in range(0, len(logits_CA), rows)]
    return torch.cat(
        [
            _advance_block(
                logits_CA[block], flow.drift_CA[block], flow.gap_C[block], lr_C[block], steps=steps
            )
            for block in blocks
        ]
    )


def _advance_block(
    logits_CA: Tensor, drift_CA: Tensor, gap_C: Tensor, lr_C: Tensor, *, steps: int
) -> Tensor:
    # Base 2, because exp is most of a step and torch's float64 exp2 takes three quarters of its
    # time. Nothing is allocated inside the loop. pi is never normalised: dividing the gap by its
    # sum divides C numbers instead of C x A.
    step_C = lr_C[:, None] / math.log(2)
    logits = logits_CA / math.log(2)
    drift = drift_CA * step_C
    gap = gap_C[:, None] * -step_C
    weights, pull = torch.empty_like(logits), torch.empty_like(gap)
    with _denormals_flushed():
        for chunk in _chunk_lengths(steps, every=_recentre_every(drift, gap)):
            logits -= logits.amax(-1, keepdim=True)
            for _ in repeat(None, chunk):
                torch.exp2(logits, out=weights)
                torch.sum(weights, -1, keepdim=True, out=pull)
                torch.div(gap, pull, out=pull)
                torch.addcmul(logits, weights, pull, out=logits)
                torch.add(logits, drift, out=logits)
    return logits * math.log(2)


def ascend_drifts(
    logits_CA: Tensor,
    drifts: Iterable[Tensor],
    *,
    lr_C: Tensor,
    weight: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Take one step per drift (C, A): l <- l + eta (k - pi sum k), k = weight(pi) * drift.

    For drifts that change every step and updates with a weight, unlike `advance_logits`.
    """
    logits = logits_CA.clone()
    for drift_CA in drifts:
        policy_CA = logits.softmax(-1)
        pull_CA = drift_CA if weight is None else drift_CA * weight(policy_CA)
        pull_CA = pull_CA - policy_CA * pull_CA.sum(-1, keepdim=True)
        logits.addcmul_(pull_CA, lr_C[:, None])
    return logits


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    # A probability below 1e-308 is as good as 0, but its exp2 takes three times as long.
    tiny = torch.full((), 1e-308, dtype=torch.float64)
    was_flushed = float(tiny / 16) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_flushed)


def _recentre_every(drift: Tensor, gap: Tensor) -> int:
    """Return the number of steps within which no logit can rise by more than `SAFE_EXPONENT`."""
    climb = float((drift.abs().amax(-1, keepdim=True) + gap.abs()).max())
    # 1e-300: a flow of zeros never rises
    return max(1, min(RECENTRE_EVERY, int(SAFE_EXPONENT / max(climb, 1e-300))))


def _chunk_lengths(steps: int, *, every: int) -> list[int]:
    whole, rest = divmod(steps, every)
    return [every] * whole + ([rest] if rest else [])
