"""Gradient ascent on the logits of a tabular softmax policy, many chains at once.

    AsymRE, exact:      l(y) <- l(y) + eta (a(y) - d pi(y)),   a(y) = mu(y)(r(y) - V),  d = sum a
    any update:         l(y) <- l(y) + eta (k(y) - pi(y) sum k),  k(y) = w(y) a(y)

l are the logits of pi, eta the learning rate. a may be an estimate from sampled arms
(`sampling.py`). w is the weight of an update:

    asymre               w = 1, Arnal et al. 2025, Eq. 4
    importance_weighted  w = pi/mu, so k = pi (r - V): off-policy REINFORCE
    clipped              w = pi/mu, but 0 if the ratio has left [1 - c, 1 + c] on the side to which
                         A = r - V pushes the ratio: the gradient of PPO's surrogate
                         (Schulman et al. 2017, arXiv 1707.06347, Eq. 7)

Certificate of the arm that AsymRE reaches if V > V^mu. Let D = V - V^mu > 0. Let arm y have the
strictly greatest rate f(y) = a(y) + D pi(y) and also the greatest pi. Then any step increases
l(y) - l(z) for every z, so pi(y) grows, pi(z)/pi(y) shrinks, and
f(y) - f(z) = a(y) - a(z) + D pi(y)(1 - pi(z)/pi(y)) does not shrink. Both conditions therefore hold
after every step, every l(y) - l(z) grows without bound, and pi -> e_y.

Shapes: C chain, A arm.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from asymreinforce.bandit.config import Update
from asymreinforce.bandit.problem import Flow

BLOCK = 40_000
"""Logits that advance together: three float64 arrays of this length fill 1 MB of L2 cache."""

FIRST_STEPS = 1_000
MAX_STEPS = 1_024_000
"""Steps after which it is first and last looked whether an arm is certain to be reached."""
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


def decided_arm(logits_CA: Tensor, flow: Flow) -> Tensor:
    """Return the arm that each chain is certain to reach (C,), -1 if it is not decided yet."""
    policy_CA = logits_CA.softmax(-1)
    rates_CA = flow.drift_CA - flow.gap_C[:, None] * policy_CA
    top_two = rates_CA.topk(2, -1)
    arm_C = top_two.indices[:, 0]
    leads_C = policy_CA.gather(1, arm_C[:, None])[:, 0] >= policy_CA.amax(-1)
    is_strict_C = top_two.values[:, 0] > top_two.values[:, 1]
    return torch.where(leads_C & is_strict_C & (flow.gap_C < 0), arm_C, -1)


def reached_arm(logits_CA: Tensor, flow: Flow, *, lr_C: Tensor) -> Tensor:
    """Return the arm that the exact update reaches from given logits for V > V^mu (C,).

    The update runs until the certificate above holds. -1 marks chains with V <= V^mu and
    chains that are undecided after `MAX_STEPS` steps, such as two arms equal in a and in pi_0.
    """
    arm_C = decided_arm(logits_CA, flow)
    open_C = (arm_C < 0) & (flow.gap_C < 0)
    steps = FIRST_STEPS
    logits_CA = logits_CA.clone()
    while bool(open_C.any()) and steps <= MAX_STEPS:
        part = Flow(flow.drift_CA[open_C], flow.gap_C[open_C])
        logits_CA[open_C] = advance_logits(logits_CA[open_C], part, lr_C=lr_C[open_C], steps=steps)
        arm_C[open_C] = decided_arm(logits_CA[open_C], part)
        open_C = (arm_C < 0) & (flow.gap_C < 0)
        steps *= 2
    return arm_C


class WeightInputs(NamedTuple):
    """Inputs of a weight: mu and A = r - V, both (C, A), and the clip c."""

    behaviour_CA: Tensor
    advantages_CA: Tensor
    clip: float


def importance_weighted(policy_CA: Tensor, setting: WeightInputs) -> Tensor:
    """w = pi/mu, but 0 if mu has no mass   (C, A)."""
    ratio_CA = policy_CA / setting.behaviour_CA
    # without mass the drift is 0, and 0 times an infinite ratio would be NaN
    return ratio_CA.masked_fill(setting.behaviour_CA == 0, 0.0)


def clipped(policy_CA: Tensor, setting: WeightInputs) -> Tensor:
    """w = pi/mu if min(w A, clip(w, 1 - c, 1 + c) A) has a gradient, else 0   (C, A)."""
    ratio_CA = importance_weighted(policy_CA, setting)
    good_CA = setting.advantages_CA > 0
    limit_CA = torch.where(good_CA, 1 + setting.clip, 1 - setting.clip)
    has_left_CA = torch.where(good_CA, ratio_CA > limit_CA, ratio_CA < limit_CA)
    return ratio_CA.masked_fill(has_left_CA, 0.0)


WEIGHTS: dict[Update, Callable[[Tensor, WeightInputs], Tensor]] = {
    "importance_weighted": importance_weighted,
    "clipped": clipped,
}
"""The weights of all updates except AsymRE, whose weight is 1."""
