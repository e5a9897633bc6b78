"""Predict the shares of answer styles by Theorem 4.2: each way of answering is a bandit arm.

A policy that answers every question in one of few ways, and cannot change how often a way is right,
is a bandit over ways. Its drift is measured on the rollouts, with the advantages of training:

    a(w) = E_{y ~ mu}[ 1{y in w} A(y) ],   d = sum_w a(w) = E_mu[A],   dl(w) = a(w) - d pi(w)

Theorem 4.2 gives the limits of the shares. A includes group means and their factor (G-1)/G.

Shapes: B samples, W ways.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from asymreinforce.bandit.closed_form import limit_at_mean, limit_below_mean, stable_arms
from asymreinforce.bandit.problem import Flow

ROUNDING = 1e-9
"""A mean advantage below this counts as 0: V then equals V^mu up to the rounding of a sum."""


class Ways(NamedTuple):
    """The shares and drifts (W,) of the ways under mu."""

    behaviour_W: Tensor
    drift_W: Tensor


def measure_drift(way_B: Tensor, advantages_B: Tensor, *, ways: int) -> Ways:
    """Return mu(w) and a(w) from samples of mu and their advantages."""
    zeros_W = torch.zeros(ways, dtype=torch.float64)
    counts_W = zeros_W.index_add(0, way_B, torch.ones_like(advantages_B, dtype=torch.float64))
    sums_W = zeros_W.index_add(0, way_B, advantages_B.double())
    return Ways(counts_W / len(way_B), sums_W / len(way_B))


def predicted_shares(ways: Ways) -> Tensor | None:
    """Return the limit of the share of each way (W,), for a policy that starts as mu.

        d > 0:  (a(w) - tau)_+ / d
        d = 0:  mu(w) on argmax a, 0 elsewhere
        d < 0:  one way; None if the theorem allows several

    (Arnal et al. 2025, Thm. 4.2). Ways that mu never takes keep a share of 0.
    """
    gap = float(ways.drift_W.sum())
    drift_1W = ways.drift_W[None]
    if abs(gap) <= ROUNDING:
        flow = Flow(drift_1W, torch.zeros(1, dtype=torch.float64))
        return limit_at_mean(flow, ways.behaviour_W[None])[0]
    flow = Flow(drift_1W, torch.tensor([gap], dtype=torch.float64))
    if gap > 0:
        return limit_below_mean(flow).policy_CA[0]
    stable_W = stable_arms(flow)[0] & (ways.behaviour_W > 0)
    return stable_W.double() if int(stable_W.sum()) == 1 else None
