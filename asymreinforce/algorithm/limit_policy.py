"""At which V an arm stays in the limit of Theorem 4.2 (Arnal et al. 2025, arXiv 2506.20520).

With a(y) = mu(y)(r(y) - V), V < V^mu and d = V^mu - V = sum_y a(y), training at V ends at

    pi*(y) = (a(y) - tau)_+ / d,   tau set so that sum_y pi*(y) = 1

and arm j keeps mass iff its excess is below the gap: sum_y (a(y) - a(j))_+ < d. Supports are
nested and shrink as V grows, so that each arm has a last value. `docs/theory/closed-form.md`
derives it; `bandit/closed_form.py` has the limit itself.

Shapes: A arm, J arm that is asked about.
"""

import torch
from torch import Tensor

TOLERANCE = 1e-9
"""Shares of samples are rounded: their sum reaches a support of 0.7 a little before or after."""


def survival_values(behaviour_A: Tensor, rewards_A: Tensor) -> Tensor:
    """Return, for each arm, the supremum of the V < V^mu at which it keeps mass   (A,), fp64.

    h_j(V) = d(V) - sum_y (a(y) - a(j))_+ is concave and piecewise linear in V, above 0 far below
    and at most 0 at V^mu. So Newton's method from V^mu falls monotonically onto its root and ends
    exactly, in at most A rounds, each of which solves one linear piece. The arms' probabilities are
    above 0.
    """
    mu_A, r_A = behaviour_A.double(), rewards_A.double()
    earned_A = mu_A * r_A
    mean, total = earned_A.sum(), mu_A.sum()
    earned_JA = earned_A - earned_A[:, None]
    share_JA = mu_A - mu_A[:, None]
    value_J = mean.expand(len(mu_A))
    above_JA = torch.zeros_like(share_JA, dtype=torch.bool)
    for _ in range(len(mu_A) + 1):
        drift_JA = mu_A * (r_A - value_J[:, None])
        now_JA = drift_JA > drift_JA.diagonal()[:, None]
        if torch.equal(now_JA, above_JA):
            break
        above_JA = now_JA
        slope_J = total - (share_JA * above_JA).sum(-1)
        value_J = (mean - (earned_JA * above_JA).sum(-1)) / slope_J
    return value_J


def value_of_support(behaviour_A: Tensor, rewards_A: Tensor, *, support: float) -> float:
    """Return sup{V <= V^mu : mu(support of pi*_V) >= support}, for 0 < support <= 1."""
    values_A, order_A = survival_values(behaviour_A, rewards_A).sort(descending=True, stable=True)
    mass_A = behaviour_A.double()[order_A].cumsum(0)
    last = int((mass_A < support - TOLERANCE).sum())
    return float(values_A[last])
