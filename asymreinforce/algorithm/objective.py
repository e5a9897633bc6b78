"""Asymmetric REINFORCE, AsymRE (Arnal et al. 2025, arXiv 2506.20520).

    J(pi) = E_{x ~ D, y ~ mu(.|x)} [ log pi(y|x) * (r(y,x) - V(x)) ]     (Def. 4.1, Eq. 1 and 4)
    V(x)  = reference(x) + baseline                                      `baseline` is swept

x is a prompt of the data D, y a completion, pi the policy that trains, mu the behaviour policy that
wrote the rollouts, r the reward. J has no importance weight, no clip, no KL term and no division by
a standard deviation. J is linear in log pi: its coefficients are known before the forward pass.

Shapes: B sequences. `groups_B` holds an integer per sequence, equal for the samples of one prompt.
"""

from typing import Any

from torch import Tensor

from asymreinforce.algorithm.references import reference_rewards


def advantages(
    rewards_B: Tensor,
    groups_B: Tensor,
    *,
    baseline: float | Tensor,
    reference_name: str = "group_mean",
    **made_of: Any,
) -> Tensor:
    """A = r - V,  V(x) = reference(x) + baseline  (Eq. 4; `baseline` is the paper's delta-V).

    The paper's reference(x) is `group_mean`; `references.py` has the others. `made_of` holds the
    other inputs of a reference, by their names in `reference_rewards`.
    """
    reference_B = reference_rewards(rewards_B, groups_B, name=reference_name, **made_of)
    return rewards_B - reference_B - baseline


def loss(logps_B: Tensor, coefficients_B: Tensor, *, sequences: int) -> Tensor:
    """-J = -(1/N) sum_i c_i log pi(y_i|x_i),   c = A for AsymRE   (Eq. 1).

    N = `sequences` counts the whole optimizer step.
    """
    # Training does not call this function: `Trainer._row` (`update/trainer.py`) computes c/N and
    # `linear_loss` (`update/head.py`) the product with -log pi, so that no logits are kept. Tests
    # compare a step's loss and gradient with this function.
    return -(coefficients_B * logps_B).sum() / sequences
