"""References V-hat(x), estimates of the mean reward of the behaviour policy mu on a prompt x.

    V(x) = reference(x) + baseline

On policy a reference only reduces variance. Off policy a reference decides where learning ends: the
critical value of V(x) is V^mu(x), the mean reward of mu on x (Arnal et al. 2025, arXiv 2506.20520,
Thm. 4.2). A reference above V^mu(x) acts like a positive baseline on x, a reference below V^mu(x)
like a negative baseline. "Value" in a docstring names the benefit of a reference, "Fails" the
prompts or policies on which the reference goes wrong.

Shapes: B sequences of complete groups, P groups, G samples of a group. `groups_B` holds an integer
per sequence, equal for the samples of one prompt. Results have the dtype of the rewards.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asymreinforce.algorithm.limit_policy import limit_support
from asymreinforce.algorithm.user_functions import load_reference
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.plugins import is_plugin

RANK_TOLERANCE = 1e-9
"""quantile * G is subject to rounding: 0.28 * 25 is slightly above 7 and means the 7th reward."""


def reference_rewards(rewards_B: Tensor, groups_B: Tensor, *, name: str, **made_of: Any) -> Tensor:
    """Return reference(x) of each sequence   (B,); every group must be complete.

    `made_of` holds the other inputs of the references in `REFERENCES`:

    `mean`            mean reward of all scored rollouts of the set: a number, or one per sequence
                      (B,) if sequences come from several sets; the running mean for `running_mean`
    `lengths_B`       completion tokens of each sequence
    `quantile`        for `group_quantile`
    `log_weights_B`   log pi(y|x) - log mu(y|x)
    `completions_B`   an integer, equal for equal completions of a prompt
    `support`         for `limit_support`

    Raises `ConfigError` if `name` is unknown and is no user's function, or if an input is missing.
    """
    if is_plugin(name):
        return load_reference(name)(rewards_B, groups_B)
    reference = REFERENCES.get(name)
    if reference is None or any(made_of.get(needed) is None for needed in reference.made_of):
        raise ConfigError(f"baseline_reference={name} is unknown or lacks what it is made of")
    needed_inputs = {needed: made_of[needed] for needed in reference.made_of}
    return reference.function(rewards_B, groups_B, **needed_inputs)


def group_sums(values_B: Tensor, groups_B: Tensor) -> Tensor:
    """Give each sequence the sum of `values_B` over its group."""
    _, group_of_B = torch.unique(groups_B, return_inverse=True)
    sums_P = values_B.new_zeros(int(group_of_B.max()) + 1).index_add_(0, group_of_B, values_B)
    return sums_P[group_of_B]


def group_maxima(values_B: Tensor, groups_B: Tensor) -> Tensor:
    """Give each sequence the largest value of its group."""
    _, group_of_B = torch.unique(groups_B, return_inverse=True)
    highest_P = values_B.new_full((int(group_of_B.max()) + 1,), -torch.inf)
    return highest_P.scatter_reduce_(0, group_of_B, values_B, "amax")[group_of_B]


def group_mean(rewards_B: Tensor, groups_B: Tensor) -> Tensor:
    """V-hat(x) = (1/G) sum_i r_i, the sample itself included (the paper's form, Sec. 5.2)."""
    return group_sums(rewards_B, groups_B) / group_sums(torch.ones_like(rewards_B), groups_B)


def leave_one_out(rewards_B: Tensor, groups_B: Tensor) -> Tensor:
    """V-hat_i(x) = (1/(G-1)) sum_{j != i} r_j (RLOO; Ahmadian et al. 2024, arXiv 2402.14740).

    Raises `ConfigError` if a group has only one sample.
    """
    sizes_B = group_sums(torch.ones_like(rewards_B), groups_B)
    if bool((sizes_B < 2).any()):
        raise ConfigError(
            "baseline_reference=leave_one_out needs at least two judged samples of each prompt; "
            "raise sampling.samples_per_prompt or use baseline_reference=group_mean"
        )
    return (group_sums(rewards_B, groups_B) - rewards_B) / (sizes_B - 1)


def dataset_mean(rewards_B: Tensor, groups_B: Tensor, *, mean: float | Tensor) -> Tensor:
    """V-hat = mean reward of all scored rollouts of the set, the same for all its prompts."""
    if isinstance(mean, Tensor):
        return mean.to(rewards_B.dtype)
    return torch.full_like(rewards_B, mean)


def running_mean(before: float | None, mean: float, *, decay: float) -> float:
    """V-hat_r = decay V-hat_(r-1) + (1 - decay) mean_r,  V-hat_0 = mean_0,  r counts rounds.

    Reinforcement comparison (Sutton 1984; Williams 1992) averages over trials; this mean averages
    over the mean rewards of rounds and is the same for all prompts of a round. `before` is
    V-hat_(r-1), None in round 0. At decay 0 this is `dataset_mean` of the round's own rollouts.

    Value: V lags behind V^mu. While rewards rise, V is below V^mu, like a negative baseline; the
    faster they rise, the lower.
    Fails: while rewards fall, V is above V^mu, like a positive baseline, which off policy makes
    rewards fall faster. As with `dataset_mean`, V is above V^mu on prompts harder than the mean.

    Raises `ConfigError` unless 0 <= decay < 1.
    """
    # no running mean per prompt: a round draws a part of the prompts, so it could be of any age
    if not 0 <= decay < 1:
        raise ConfigError(f"the decay of a running mean must be from 0 to below 1, not {decay}")
    return mean if before is None else decay * before + (1 - decay) * mean


def group_quantile(rewards_B: Tensor, groups_B: Tensor, *, quantile: float) -> Tensor:
    """V-hat(x) = inf{v : (1/G) sum_j 1[r_j <= v] >= quantile}: the ceil(quantile G)-th lowest r.

    Quantile advantage estimation (QAE; Wu et al. 2025, arXiv 2509.22611, Sec. 4 and Eq. 4), without
    the division by the standard deviation. As in the paper, V is always a reward of the group; the
    authors' code interpolates between two rewards. At quantile 0.5 and odd G, V is the median.

    Value: with two reward levels and a share p of correct samples, V is the low reward if
    p <= 1 - quantile, else the high reward. Hard prompts teach only by their correct samples, easy
    prompts only by their incorrect samples, and all other samples have A = -baseline.
    Fails: on easy prompts V is above V^mu, so the limit off policy is a single completion (Thm. 4.2
    of Arnal et al.). In a small group one more correct sample can move V from low to high.

    Raises `ConfigError` unless 0 < quantile <= 1.
    """
    if not 0 < quantile <= 1:
        raise ConfigError(f"the quantile of a group must be above 0 and at most 1, not {quantile}")
    _, group_of_B, sizes_P = torch.unique(groups_B, return_inverse=True, return_counts=True)
    # two stable sorts: by group, and by reward within each group
    by_reward_B = rewards_B.argsort(stable=True)
    order_B = by_reward_B[group_of_B[by_reward_B].argsort(stable=True)]
    ranks_P = (quantile * sizes_P.double() - RANK_TOLERANCE).ceil().long().clamp_min(1)
    starts_P = sizes_P.cumsum(0) - sizes_P
    return rewards_B[order_B[starts_P + ranks_P - 1]][group_of_B]


def shrunk_group_mean(rewards_B: Tensor, groups_B: Tensor, *, mean: float | Tensor) -> Tensor:
    """V-hat(x) = (1 - lambda) m(x) + lambda mean,  lambda = v / (v + s),  m(x) the group's mean.

        v = mean over groups of (1/(G (G-1))) sum_i (r_i - m(x))^2      noise of a group's mean
        s = mean over groups of (m(x) - mean)^2                         how far groups lie apart

    James-Stein baseline (Zeng et al. 2025, arXiv 2511.03710, Sec. 3.3, Eq. 13 to 16). v and s are
    the paper's plug-in estimators over all groups of the step; groups of one sample do not enter v.
    Two things differ from the paper:

    - The paper leaves a sample out of its group's mean, and its prompt out of v, s and the centre,
      so that the gradient is unbiased. Here the sample is included, as in `group_mean`.
    - The paper's centre is the mean of the step. Here the centre is the data set's `mean`, which is
      not estimated from the step, so the paper's factor (P-1)/P is 1.

    Value: in small groups V has a smaller squared error than m(x) as an estimate of V^mu(x).
    Fails: on prompts harder than the mean V is above V^mu, like a positive baseline of about
    lambda (mean - V^mu). s includes the noise v, so lambda stays near 1/2 if all prompts are
    equally hard.

    Raises `ConfigError` if no group has two samples.
    """
    groups = _statistics(rewards_B, groups_B)
    has_spread_P = groups.sizes_P > 1
    if not bool(has_spread_P.any()):
        raise ConfigError(
            "baseline_reference=shrunk_group_mean needs a prompt with two judged samples in each "
            "step; raise sampling.samples_per_prompt or use baseline_reference=dataset_mean"
        )
    noise_P = groups.squares_P / (groups.sizes_P * (groups.sizes_P - 1))
    noise = noise_P[has_spread_P].mean()
    centre_P = _of_groups(mean, groups) if isinstance(mean, Tensor) else mean
    spread = (groups.means_P - centre_P).square().mean()
    # clamped, so that lambda is 0 and not 0/0 if noise and spread are both 0
    shrinkage = noise / (noise + spread).clamp_min(torch.finfo(rewards_B.dtype).tiny)
    return ((1 - shrinkage) * groups.means_P + shrinkage * centre_P)[groups.group_of_B]


def length_weighted_mean(rewards_B: Tensor, groups_B: Tensor, lengths_B: Tensor) -> Tensor:
    """V-hat(x) = sum_i l_i r_i / sum_i l_i,  l_i the tokens of completion i, the sample included.

    On-policy RL with optimal reward baseline (OPO; Hao et al. 2025, arXiv 2505.23585). The V of
    least gradient variance is E[g^2 r] / E[g^2], with g the norm of grad log pi(y|x); g^2 is
    assumed proportional to the length.

    Value: V reduces the noise of long completions most, which have the largest gradients.
    Fails: V is above V^mu on prompts whose correct completions are longer than the incorrect ones,
    else below. The rule holds for `sequence_sum` only, which sums log pi over tokens.

    Raises `InputError` if a group has no completion token.
    """
    weights_B = lengths_B.to(rewards_B.dtype)
    return _weighted_mean(rewards_B, groups_B, weights_B, name="length_weighted_mean")


def minimum_variance(
    rewards_B: Tensor, groups_B: Tensor, lengths_B: Tensor, log_weights_B: Tensor
) -> Tensor:
    """V-hat(x) = sum_i w_i^2 l_i r_i / sum_i w_i^2 l_i,  w = pi(y|x)/mu(y|x), l tokens of y.

    Off-policy baseline of variance-controlled policy optimization (VCPO; Huang et al. 2026, arXiv
    2602.17616). The V that minimises the variance of sum w (r - V) grad log pi is the mean reward
    with weights w^2 g^2, with g the norm of grad log pi(y|x). The paper gets g from a backward pass
    per sequence; here g^2 is assumed proportional to the length. While pi is mu, V equals
    `length_weighted_mean`. As in the paper, w is not truncated. The paper's step size by effective
    sample size is left out. V needs log pi of the whole step, so a first pass without a gradient.

    Value: the reference for objectives that weight by pi/mu, such as `tis`.
    Fails: as pi leaves mu's incorrect completions, their w falls and V rises above V^mu, to the
    rewards of the completions that pi keeps; an objective without weights, such as AsymRE, then
    collapses. If one w of a group is much larger than the others, V is that completion's reward.

    Raises `InputError` if a group has no completion token.
    """
    # scaled so that a group's largest weight is 1: no weight overflows, and the factor cancels
    scaled_B = log_weights_B - group_maxima(log_weights_B, groups_B)
    weights_B = (2 * scaled_B).exp().to(rewards_B.dtype) * lengths_B
    return _weighted_mean(rewards_B, groups_B, weights_B, name="minimum_variance")


def _weighted_mean(rewards_B: Tensor, groups_B: Tensor, weights_B: Tensor, *, name: str) -> Tensor:
    total_B = group_sums(weights_B, groups_B)
    if bool((total_B <= 0).any()):
        raise InputError(
            f"baseline_reference={name} met a prompt without a completion token; "
            "leave its rollouts out or use baseline_reference=group_mean"
        )
    return group_sums(weights_B * rewards_B, groups_B) / total_B


class _Reference(NamedTuple):
    function: Callable[..., Tensor]
    """(rewards_B, groups_B, **made_of) -> V-hat_B."""
    made_of: tuple[str, ...] = ()
    """The names of its other inputs."""


REFERENCES = {
    "group_mean": _Reference(group_mean),
    "leave_one_out": _Reference(leave_one_out),
    "dataset_mean": _Reference(dataset_mean, ("mean",)),
    "running_mean": _Reference(dataset_mean, ("mean",)),
    "zero": _Reference(lambda rewards_B, groups_B: torch.zeros_like(rewards_B)),
    "group_quantile": _Reference(group_quantile, ("quantile",)),
    "shrunk_group_mean": _Reference(shrunk_group_mean, ("mean",)),
    "length_weighted_mean": _Reference(length_weighted_mean, ("lengths_B",)),
    "minimum_variance": _Reference(minimum_variance, ("lengths_B", "log_weights_B")),
    "limit_support": _Reference(limit_support, ("completions_B", "support")),
}
"""The references by their names in `baseline_reference`."""


class _GroupStatistics(NamedTuple):
    group_of_B: Tensor
    """Index in P of each sequence's group."""
    sizes_P: Tensor
    means_P: Tensor
    squares_P: Tensor
    """Sum over the group of (r - m)^2."""


def _of_groups(values_B: Tensor, groups: _GroupStatistics) -> Tensor:
    """Return one value per group, from values that are equal within each group   (P,)."""
    values_P = torch.zeros_like(groups.means_P)
    return values_P.index_put((groups.group_of_B,), values_B.to(values_P.dtype))


def _statistics(rewards_B: Tensor, groups_B: Tensor) -> _GroupStatistics:
    _, group_of_B, sizes_P = torch.unique(groups_B, return_inverse=True, return_counts=True)
    zeros_P = rewards_B.new_zeros(len(sizes_P))
    means_P = zeros_P.index_add(0, group_of_B, rewards_B) / sizes_P
    centred_B = rewards_B - means_P[group_of_B]
    squares_P = zeros_P.index_add(0, group_of_B, centred_B.square())
    return _GroupStatistics(group_of_B, sizes_P, means_P, squares_P)
