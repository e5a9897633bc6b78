"""Where the gradient flow ends (Theorem 4.2), and what repeating it reaches (Theorem 4.3).

With a(y) = mu(y)(r(y) - V) and d = V^mu - V = sum_y a(y):

    V < V^mu:   pi*(y) = (a(y) - tau)_+ / d,   tau set so that sum_y pi*(y) = 1
    V = V^mu:   pi*(y) ~ pi_0(y) on argmax a, 0 elsewhere
    V > V^mu:   pi* = one arm y of { y : a(y) > max a - (V - V^mu) }, which one depends on pi_0

Shapes: C chain, A arm. Derivations stand in `docs/theory/closed-form.md`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from asymreinforce.algorithm.limit_policy import survival_values
from asymreinforce.bandit.problem import Flow, expected_reward, flow_at_value


class Limit(NamedTuple):
    """The limit policy (C, A) for V < V^mu, its threshold tau (C,) and its number of arms (C,)."""

    policy_CA: Tensor
    threshold_C: Tensor
    support_C: Tensor


def limit_below_mean(flow: Flow) -> Limit:
    """pi*(y) = (a(y) - tau)_+ / d  for V < V^mu (Arnal et al. 2025, Thm. 4.2).

    Exact sort-and-scan. With a_1 >= a_2 >= ... the k-th arm survives iff its excess

        e_k = sum_{j<=k} (a_j - a_k) = sum_{j<k} j (a_j - a_{j+1})  <  d,

    a sum of terms >= 0, so nothing cancels and equal arms stay equal. With k arms surviving,
    tau = a_k - (d - e_k)/k and pi*(y) = (a(y) - a_k)/d + (1 - e_k/d)/k. As sum a = d, tau >= 0: an
    arm with a(y) <= 0 never survives, and where no a(y) is negative tau is exactly 0.

    Raises `ValueError` where some gap is not positive: then Theorem 4.2 has another limit.
    """
    if not bool((flow.gap_C > 0).all()):
        raise ValueError(
            "limit_below_mean() needs V < V^mu; use limit_at_mean() or stable_arms() elsewhere"
        )
    gap_C1 = flow.gap_C[:, None]
    ordered_CA = flow.drift_CA.sort(-1, descending=True).values
    ranks_A = torch.arange(1, ordered_CA.shape[1], dtype=torch.float64)
    excess_CA = torch.zeros_like(ordered_CA)
    excess_CA[:, 1:] = (ranks_A * (ordered_CA[:, :-1] - ordered_CA[:, 1:])).cumsum(-1)
    is_whole_C1 = ordered_CA[:, -1:] >= 0
    survives_CA = (ordered_CA > 0) & (is_whole_C1 | (excess_CA < gap_C1))
    support_C1 = survives_CA.sum(-1, keepdim=True)
    last_C1 = ordered_CA.gather(1, support_C1 - 1)
    left_C1 = 1 - excess_CA.gather(1, support_C1 - 1) / gap_C1
    policy_CA = ((flow.drift_CA - last_C1) / gap_C1 + left_C1 / support_C1).clamp_min(0)
    threshold_C1 = last_C1 - gap_C1 * left_C1 / support_C1
    policy_CA = policy_CA * (flow.drift_CA >= last_C1)
    return Limit(
        torch.where(is_whole_C1, flow.drift_CA / flow.drift_CA.sum(-1, keepdim=True), policy_CA),
        torch.where(is_whole_C1, 0.0, threshold_C1)[:, 0],
        support_C1[:, 0],
    )


def limit_at_mean(flow: Flow, policy_CA: Tensor) -> Tensor:
    """pi*(y) = pi_0(y) / pi_0(argmax a) on argmax a, for V = V^mu (Thm. 4.2)   (C, A).

    Arms whose drifts differ by one rounding are different arms here.
    """
    top_CA = flow.drift_CA == flow.drift_CA.amax(-1, keepdim=True)
    kept_CA = policy_CA * top_CA
    return kept_CA / kept_CA.sum(-1, keepdim=True)


def stable_arms(flow: Flow) -> Tensor:
    """Mark the arms that the flow can end on for V > V^mu: a(y) > max a - (V - V^mu)   (C, A) bool.

    The condition is of mu, r and V alone; which arm of the set is reached depends on pi_0
    (`basin.py`).
    """
    return flow.drift_CA > flow.drift_CA.amax(-1, keepdim=True) + flow.gap_C[:, None]


def iterated_limits(
    behaviour_CA: Tensor, rewards_CA: Tensor, value_C: Tensor, *, iterations: int
) -> Tensor:
    """Return V^mu of mu_0 and of each mu_{i+1} = pi*(mu_i), for constant V < V^mu (R, C).

    Theorem 4.3: no entry is smaller than the one before it. Raises `ValueError` for V >= V^mu.
    """
    rewards = [expected_reward(behaviour_CA, rewards_CA)]
    for _ in range(iterations):
        behaviour_CA = limit_below_mean(flow_at_value(behaviour_CA, rewards_CA, value_C)).policy_CA
        rewards.append(expected_reward(behaviour_CA, rewards_CA))
    return torch.stack(rewards)


def critical_value(behaviour_A: Tensor, rewards_A: Tensor) -> float:
    """V_{0,mu} of Theorem 4.3: the supremum of the V at which repeated improvement ends optimal.

    The largest of the optimal arms is the last of them (`algorithm/limit_policy.py`).
    """
    seen = behaviour_A > 0
    mu, r = behaviour_A[seen], rewards_A[seen]
    return float(survival_values(mu, r)[r == r.max()].max())
