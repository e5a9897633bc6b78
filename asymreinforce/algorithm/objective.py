"""Asymmetric REINFORCE (Arnal et al. 2025, arXiv 2506.20520), formula beside code.

    J(pi) = E_{x ~ D, y ~ mu(.|x)} [ log pi(y|x) * (r(y,x) - V(x)) ]     (Def. 4.1, Eq. 1 and 4)
    V(x)  = reference(x) + baseline                                      `baseline` is swept

No importance weight, no clip, no KL term, no division by a standard deviation. The coefficient of
log pi is known before the forward pass: the objective is linear in log pi.

Shapes: B sequences. `groups_B` holds an integer per sequence, equal for the samples of one prompt.
"""

import torch
from torch import Tensor

from asymreinforce.algorithm.user_functions import load_reference
from asymreinforce.errors import ConfigError
from asymreinforce.plugins import is_plugin


def group_sums(values_B: Tensor, groups_B: Tensor) -> Tensor:
    """Give each sequence the sum of `values_B` over its group."""
    _, group_of_B = torch.unique(groups_B, return_inverse=True)
    sums_P = values_B.new_zeros(int(group_of_B.max()) + 1).index_add_(0, group_of_B, values_B)
    return sums_P[group_of_B]


def group_mean(rewards_B: Tensor, groups_B: Tensor) -> Tensor:
    """V-hat(x) = (1/G) sum_i r_i, the sample itself included (the paper's form, Sec. 5.2)."""
    return group_sums(rewards_B, groups_B) / group_sums(torch.ones_like(rewards_B), groups_B)


def leave_one_out(rewards_B: Tensor, groups_B: Tensor) -> Tensor:
    """V-hat_i(x) = (1/(G-1)) sum_{j != i} r_j (RLOO; Ahmadian et al. 2024, arXiv 2402.14740).

    Raises `ConfigError` where a group has one sample.
    """
    sizes_B = group_sums(torch.ones_like(rewards_B), groups_B)
    if bool((sizes_B < 2).any()):
        raise ConfigError(
            "baseline_reference=leave_one_out needs at least two judged samples of each prompt; "
            "raise sampling.samples_per_prompt or use baseline_reference=group_mean"
        )
    return (group_sums(rewards_B, groups_B) - rewards_B) / (sizes_B - 1)


def dataset_mean(rewards_B: Tensor, mean: float) -> Tensor:
    """V-hat = mean reward of every judged rollout of the set, the same for all prompts."""
    return torch.full_like(rewards_B, mean)


def reference_rewards(
    rewards_B: Tensor, groups_B: Tensor, *, name: str, mean: float | None = None
) -> Tensor:
    """Return the reference(x) of each sequence; `mean` is the data set's, where `name` needs it."""
    if name == "group_mean":
        return group_mean(rewards_B, groups_B)
    if name == "leave_one_out":
        return leave_one_out(rewards_B, groups_B)
    if name == "dataset_mean" and mean is not None:
        return dataset_mean(rewards_B, mean)
    if name == "zero":
        return torch.zeros_like(rewards_B)
    if is_plugin(name):
        return load_reference(name)(rewards_B, groups_B)
    raise ConfigError(f"baseline_reference={name} is unknown or lacks the mean of the data set")


def advantages(
    rewards_B: Tensor,
    groups_B: Tensor,
    *,
    baseline: float | Tensor,
    reference_name: str = "group_mean",
    mean: float | None = None,
) -> Tensor:
    """A = r - V,  V(x) = reference(x) + baseline  (Eq. 4; `baseline` is the paper's delta-V)."""
    reference_B = reference_rewards(rewards_B, groups_B, name=reference_name, mean=mean)
    return rewards_B - reference_B - baseline


def loss(logps_B: Tensor, coefficients_B: Tensor, *, sequences: int) -> Tensor:
    """-J = -(1/N) sum_i A_i log pi(y_i|x_i)   (Eq. 1), N counting the whole optimizer step.

    Training makes this loss and its gradient without keeping any logits, by two lines: A/N in
    `Trainer._accumulate` (`update/trainer.py`), and -log pi times that in `linear_loss`
    (`update/head.py`). Tests hold a step's loss and gradient against this function.
    """
    return -(coefficients_B * logps_B).sum() / sequences
