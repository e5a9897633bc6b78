"""A baseline, two objectives and a reward of one's own (docs/tutorials/own-objective.md).

Shapes: B sequences of the step, C completion tokens laid end to end.
"""

import numpy as np
import torch
from torch import Tensor


def median(rewards_B: Tensor, groups_B: Tensor) -> Tensor:
    """V-hat(x) = median reward of the prompt's samples, the lower one of two."""
    reference_B = torch.empty_like(rewards_B)
    for group in set(groups_B.tolist()):
        members_B = groups_B == group
        reference_B[members_B] = rewards_B[members_B].median()
    return reference_B


def bounded(advantages_B: Tensor, correct_B: Tensor) -> Tensor:
    """c = tanh(A): failures and rare successes count for at most 1."""
    return torch.tanh(advantages_B)


def squared_ratio(
    logps_C: Tensor, behaviour_logps_C: Tensor, advantages_B: Tensor, sequence_of_C: Tensor
) -> Tensor:
    """Loss of a sequence: -A log pi + 0.1/2 (log pi - log mu)^2."""
    logps_B = torch.zeros_like(advantages_B).index_add(
        0, sequence_of_C, logps_C.to(advantages_B.dtype)
    )
    behaviour_logps_B = torch.zeros_like(advantages_B).index_add(
        0, sequence_of_C, behaviour_logps_C.to(advantages_B.dtype)
    )
    return -advantages_B * logps_B + 0.05 * (logps_B - behaviour_logps_B) ** 2


def cautious(scores_B: np.ndarray, correct_B: np.ndarray) -> np.ndarray:
    """r = s^2: a score of one half earns a quarter."""
    return scores_B**2
