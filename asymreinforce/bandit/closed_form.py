"""The limit of the gradient flow (Theorem 4.2), and of its repetition (Theorem 4.3).

pi is the policy, mu the behaviour policy, V^mu the mean reward of mu. With
a(y) = mu(y)(r(y) - V) and d = V^mu - V = sum_y a(y):

    V < V^mu:   pi*(y) = (a(y) - tau)_+ / d,   tau set so that sum_y pi*(y) = 1
    V = V^mu:   pi*(y) ~ pi_0(y) on argmax a, 0 elsewhere
    V > V^mu:   pi* = one arm y of { y : a(y) > max a - (V - V^mu) }; pi_0 decides which arm

`docs/theory/closed-form.md` derives these. Near pi* the update multiplies an error of the logits by
I - eta d M, M = diag(pi*) - pi* pi*^T. The update is stable if and only if eta d lambda < 2, lambda
the largest eigenvalue of M. For V >= V^mu every learning rate is stable: single arms attract for
any eta.

Shapes: C chain, A arm.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from asymreinforce.algorithm.limit_policy import survival_values
from asymreinforce.bandit.problem import Flow, expected_reward, flow_at_value


class Limit(NamedTuple):
    """The limit policy (C, A) for V < V^mu, the threshold tau (C,) and the number of arms (C,)."""

    policy_CA: Tensor
    threshold_C: Tensor
    support_C: Tensor


def limit_below_mean(flow: Flow) -> Limit:
    """pi*(y) = (a(y) - tau)_+ / d  for V < V^mu (Arnal et al. 2025, Thm. 4.2).

    The computation sorts and scans, without iteration. With a_1 >= a_2 >= ... the k-th arm survives
    if and only if its excess

        e_k = sum_{j<=k} (a_j - a_k) = sum_{j<k} j (a_j - a_{j+1})  <  d.

    If k arms survive, tau = a_k - (d - e_k)/k and pi*(y) = (a(y) - a_k)/d + (1 - e_k/d)/k. tau >= 0
    because sum a = d, so an arm with a(y) <= 0 never survives. If no a(y) is negative, tau is 0.

    Raises `ValueError` if a gap d is not positive: Theorem 4.2 then has another limit.
    """
    if not bool((flow.gap_C > 0).all()):
        raise ValueError(
            "limit_below_mean() needs V < V^mu; use limit_at_mean() or stable_arms() elsewhere"
        )
    gap_C1 = flow.gap_C[:, None]
    ordered_CA = flow.drift_CA.sort(-1, descending=True).values
    ranks_A = torch.arange(1, ordered_CA.shape[1], dtype=torch.float64)
    # a sum of terms >= 0: nothing cancels, and equal arms stay equal
    excess_CA = torch.zeros_like(ordered_CA)
    excess_CA[:, 1:] = (ranks_A * (ordered_CA[:, :-1] - ordered_CA[:, 1:])).cumsum(-1)
    # if no a(y) is negative, tau is exactly 0: rounding in e_k must not drop an arm
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

    Drifts a(y) that differ only by rounding count as different.
    """
    top_CA = flow.drift_CA == flow.drift_CA.amax(-1, keepdim=True)
    kept_CA = policy_CA * top_CA
    return kept_CA / kept_CA.sum(-1, keepdim=True)


def stable_arms(flow: Flow) -> Tensor:
    """Mark the arms that the flow can end on for V > V^mu: a(y) > max a - (V - V^mu)   (C, A) bool.

    The condition depends on mu, r and V only; pi_0 decides which of these arms is reached
    (`dynamics.py`).
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
    """V_{0,mu} of Theorem 4.3: the supremum of the V at which repeated improvement ends optimal."""
    seen = behaviour_A > 0
    mu, r = behaviour_A[seen], rewards_A[seen]
    # improvement stays optimal while any optimal arm survives: the last one has the largest value
    return float(survival_values(mu, r)[r == r.max()].max())


def largest_stable_lr(flow: Flow) -> Tensor:
    """eta_max = 2 / (d lambda_max(diag(pi*) - pi* pi*^T)), infinite for V >= V^mu   (C,)."""
    result_C = torch.full_like(flow.gap_C, torch.inf)
    below = flow.gap_C > 0
    if not bool(below.any()):
        return result_C
    part = Flow(flow.drift_CA[below], flow.gap_C[below])
    policy_CA = limit_below_mean(part).policy_CA
    softmax_CAA = torch.diag_embed(policy_CA) - policy_CA[:, :, None] * policy_CA[:, None, :]
    # 0 if only one arm is left: every learning rate is then stable
    greatest_C = torch.linalg.eigvalsh(softmax_CAA)[:, -1].clamp_min(0)
    result_C[below] = 2 / (part.gap_C * greatest_C)
    return result_C
