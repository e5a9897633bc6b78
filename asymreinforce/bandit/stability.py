"""The smallest learning rate eta at which the exact update does not stay at its limit pi*.

Near pi* the update multiplies an error of the logits by I - eta d M, M = diag(pi*) - pi* pi*^T. The
update is stable if and only if eta d lambda < 2, lambda the largest eigenvalue of M. For V >= V^mu
every learning rate is stable: single arms attract for any eta.

Shapes: C chain, A arm.
"""

import torch
from torch import Tensor

from asymreinforce.bandit.closed_form import limit_below_mean
from asymreinforce.bandit.problem import Flow


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
