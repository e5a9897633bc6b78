"""Asymmetric REINFORCE (Arnal et al. 2025, arXiv 2506.20520), formula beside code.

    J(pi) = E_{x ~ D, y ~ mu(.|x)} [ log pi(y|x) * (r(y,x) - V(x)) ]     (Def. 4.1, Eq. 1 and 4)
    V(x)  = reference(x) + baseline                                      `baseline` is swept

No importance weight, no clip, no KL term, no division by a standard deviation. The coefficient of
log pi is known before the forward pass: the objective is linear in log pi.

Shapes: B sequences. `groups_B` holds an integer per sequence, equal for the samples of one prompt.
"""

from torch import Tensor

from asymreinforce.algorithm.references import reference_rewards


def advantages(
    rewards_B: Tensor,
    groups_B: Tensor,
    *,
    baseline: float | Tensor,
    reference_name: str = "group_mean",
    mean: float | Tensor | None = None,
    lengths_B: Tensor | None = None,
    quantile: float | None = None,
) -> Tensor:
    """A = r - V,  V(x) = reference(x) + baseline  (Eq. 4; `baseline` is the paper's delta-V).

    The paper's reference(x) is `group_mean`; the others are in `references.py`, which says what
    `mean`, `lengths_B` and `quantile` are for.
    """
    reference_B = reference_rewards(
        rewards_B,
        groups_B,
        name=reference_name,
        mean=mean,
        lengths_B=lengths_B,
        quantile=quantile,
    )
    return rewards_B - reference_B - baseline


def loss(logps_B: Tensor, coefficients_B: Tensor, *, sequences: int) -> Tensor:
    """-J = -(1/N) sum_i A_i log pi(y_i|x_i)   (Eq. 1), N counting the whole optimizer step.

    Training makes this loss and its gradient without keeping any logits, by two lines: A/N in
    `Trainer._accumulate` (`update/trainer.py`), and -log pi times that in `linear_loss`
    (`update/head.py`). Tests hold a step's loss and gradient against this function.
    """
    return -(coefficients_B * logps_B).sum() / sequences
