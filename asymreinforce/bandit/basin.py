"""The arm that the update reaches if V > V^mu, with a proof for each chain.

Certificate. Let D = V - V^mu > 0. Let arm y have the strictly greatest rate f(y) = a(y) + D pi(y)
and also the greatest pi. Then any step increases l(y) - l(z) for every z, so pi(y) grows,
pi(z)/pi(y) shrinks, and f(y) - f(z) = a(y) - a(z) + D pi(y)(1 - pi(z)/pi(y)) does not shrink. Both
conditions therefore hold after every step, every l(y) - l(z) grows without bound, and pi -> e_y.

Shapes: C chain, A arm.
"""

import torch
from torch import Tensor

from asymreinforce.bandit.dynamics import advance_logits
from asymreinforce.bandit.problem import Flow

FIRST_STEPS = 1_000
MAX_STEPS = 1_024_000


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

    The update runs until the certificate of this module holds. -1 marks chains with V <= V^mu and
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
