"""References V-hat(x): means of a prompt's rewards, a quantile, shrunk and weighted means, a bound.

    V(x) = reference(x) + baseline

On policy a reference only takes away variance. Off policy it decides where learning goes: the
critical value of V(x) is V^mu(x), the mean reward of mu on that prompt (Arnal et al. 2025, arXiv
2506.20520, Thm. 4.2). A reference above V^mu(x) acts on its prompt as a positive baseline does, a
reference below as a negative one; each docstring says for which prompts that happens.

Shapes: B sequences of whole groups, P groups. `groups_B` holds an integer per sequence, equal for
the samples of one prompt. Every result is of the rewards' dtype.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from asymreinforce.algorithm.limit_policy import value_of_support
from asymreinforce.algorithm.user_functions import load_reference
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.plugins import is_plugin

RANK_TOLERANCE = 1e-9
"""K G is rounded: 0.28 times 25 is a little more than 7, and means the 7th reward."""


def reference_rewards(
    rewards_B: Tensor,
    groups_B: Tensor,
    *,
    name: str,
    mean: float | Tensor | None = None,
    lengths_B: Tensor | None = None,
    quantile: float | None = None,
    log_weights_B: Tensor | None = None,
    completions_B: Tensor | None = None,
    support: float | None = None,
) -> Tensor:
    """Return the reference(x) of each sequence; groups are whole.

    `mean` is the mean reward of all judged rollouts of the set, or of the set that each sequence
    comes from (shape B), or that mean over rounds; `lengths_B` the tokens of each completion,
    `quantile` that of `group_quantile`, `log_weights_B` log pi/mu of each completion,
    `completions_B` an integer that is equal for equal completions of a prompt, `support` that of
    `limit_support`. Raises `ConfigError` for a name that is not known and is no user's function, or
    lacks what it needs.
    """
    if name == "group_mean":
        return group_mean(rewards_B, groups_B)
    if name == "leave_one_out":
        return leave_one_out(rewards_B, groups_B)
    if name in ("dataset_mean", "running_mean") and mean is not None:
        return dataset_mean(rewards_B, mean)
    if name == "zero":
        return torch.zeros_like(rewards_B)
    if name == "group_quantile" and quantile is not None:
        return group_quantile(rewards_B, groups_B, quantile=quantile)
    if name == "shrunk_group_mean" and mean is not None:
        return shrunk_group_mean(rewards_B, groups_B, mean=mean)
    if name == "length_weighted_mean" and lengths_B is not None:
        return length_weighted_mean(rewards_B, groups_B, lengths_B)
    if name == "minimum_variance" and lengths_B is not None and log_weights_B is not None:
        return minimum_variance(rewards_B, groups_B, lengths_B, log_weights_B)
    if name == "limit_support" and completions_B is not None and support is not None:
        return limit_support(rewards_B, groups_B, completions_B, support=support)
    if is_plugin(name):
        return load_reference(name)(rewards_B, groups_B)
    raise ConfigError(f"baseline_reference={name} is unknown or lacks what it is made of")


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

    Raises `ConfigError` where a group has one sample.
    """
    sizes_B = group_sums(torch.ones_like(rewards_B), groups_B)
    if bool((sizes_B < 2).any()):
        raise ConfigError(
            "baseline_reference=leave_one_out needs at least two judged samples of each prompt; "
            "raise sampling.samples_per_prompt or use baseline_reference=group_mean"
        )
    return (group_sums(rewards_B, groups_B) - rewards_B) / (sizes_B - 1)


def dataset_mean(rewards_B: Tensor, mean: float | Tensor) -> Tensor:
    """V-hat = mean reward of every judged rollout of the set, the same for all its prompts."""
    if isinstance(mean, Tensor):
        return mean.to(rewards_B.dtype)
    return torch.full_like(rewards_B, mean)


def running_mean(before: float | None, mean: float, *, decay: float) -> float:
    """V-hat_r = decay V-hat_(r-1) + (1 - decay) mean_r,  V-hat_0 = mean_0,  r counts rounds.

    Reinforcement comparison (Sutton 1984; Williams 1992), whose mean goes over trials: here over
    the mean rewards of rounds, which `before` sums up, and the same for all prompts of a round. At
    decay 0 it is `dataset_mean` of the round's own rollouts. There is none for each prompt: a round
    draws a part of the prompts, so that a prompt's last mean is of any age.

    Value: V lags behind V^mu. While rewards rise it is below V^mu, as under a negative baseline,
    the more so the faster they rise.
    Fails: while rewards fall V is above V^mu, as under a positive baseline, which is what makes
    them fall faster off policy; and, as with `dataset_mean`, on prompts harder than the mean.

    Raises `ConfigError` unless 0 <= decay < 1.
    """
    if not 0 <= decay < 1:
        raise ConfigError(f"the decay of a running mean must be from 0 to below 1, not {decay}")
    return mean if before is None else decay * before + (1 - decay) * mean


def group_quantile(rewards_B: Tensor, groups_B: Tensor, *, quantile: float) -> Tensor:
    """V-hat(x) = inf{v : (1/G) sum_j 1[r_j <= v] >= quantile}: the ceil(quantile G)-th lowest r.

    Quantile advantage estimation (QAE; Wu et al. 2025, arXiv 2509.22611, Sec. 4 and Eq. 4), without
    its division by the standard deviation. The paper's quantile is always a reward of the group;
    the authors' code interpolates between two of them. At 0.5 and odd G it is the median.

    Value: with two reward levels and a share p of successes, V is the low reward if
    p <= 1 - quantile, else the high one. Hard prompts teach by their successes alone, easy ones by
    their failures alone, and every other sample has A = -baseline.
    Fails: on easy prompts V is above V^mu, where the limit off policy is a single completion (Thm.
    4.2 of Arnal et al.); in a small group one success more can turn V from low to high.

    Raises `ConfigError` unless 0 < quantile <= 1.
    """
    if not 0 < quantile <= 1:
        raise ConfigError(f"the quantile of a group must be above 0 and at most 1, not {quantile}")
    _, group_of_B, sizes_P = torch.unique(groups_B, return_inverse=True, return_counts=True)
    by_reward_B = rewards_B.argsort(stable=True)
    order_B = by_reward_B[group_of_B[by_reward_B].argsort(stable=True)]
    ranks_P = (quantile * sizes_P.double() - RANK_TOLERANCE).ceil().long().clamp_min(1)
    starts_P = sizes_P.cumsum(0) - sizes_P
    return rewards_B[order_B[starts_P + ranks_P - 1]][group_of_B]


def shrunk_group_mean(rewards_B: Tensor, groups_B: Tensor, *, mean: float | Tensor) -> Tensor:
    """V-hat(x) = (1 - lambda) m(x) + lambda mean,  lambda = v / (v + s),  m(x) the group's mean.

        v = mean over groups of (1/(G (G-1))) sum_i (r_i - m(x))^2      noise of a group's mean
        s = mean over groups of (m(x) - mean)^2                         how far groups lie apart

    James-Stein baseline (Zeng et al. 2025, arXiv 2511.03710, Sec. 3.3, Eq. 13 to 16): v and s are
    the paper's plug-in estimators, taken over all groups of the step; groups of one sample leave v
    as it is. Two things differ. The paper leaves a sample out of its group's mean, and its prompt
    out of v, s and the centre, so that the gradient is unbiased; here the sample is included, as in
    `group_mean`. Its centre is the mean of the step, here it is the data set's `mean`, which no
    group moves; the paper's factor (P-1)/P, for an estimated centre, is therefore 1.

    Value: the squared error of m(x) as an estimate of V^mu(x) falls if groups are small.
    Fails: V is above V^mu on prompts harder than the mean, a positive baseline there of about
    lambda (mean - V^mu); s still counts the noise v, so that lambda stays near 1/2 if all prompts
    are equally hard.

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
    # without noise lambda is 0, also where the spread is 0 with it
    shrinkage = noise / (noise + spread).clamp_min(torch.finfo(rewards_B.dtype).tiny)
    return ((1 - shrinkage) * groups.means_P + shrinkage * centre_P)[groups.group_of_B]


def length_weighted_mean(rewards_B: Tensor, groups_B: Tensor, lengths_B: Tensor) -> Tensor:
    """V-hat(x) = sum_i l_i r_i / sum_i l_i,  l_i the completion's tokens, the sample included.

    On-policy RL with optimal reward baseline (OPO; Hao et al. 2025, arXiv 2505.23585):
    the V of least gradient variance is E[g^2 r] / E[g^2] with g the norm of grad log pi(y|x), and
    g^2 is taken to grow as the length does.

    Value: it takes most from the noise of long completions, which have the largest gradients.
    Fails: V is above V^mu on prompts whose successes are longer than their failures, and below on
    the others; as log pi is summed over tokens, the rule holds for `sequence_sum` alone.

    Raises `InputError` if a group has no completion token.
    """
    weights_B = lengths_B.to(rewards_B.dtype)
    return _weighted_mean(rewards_B, groups_B, weights_B, name="length_weighted_mean")


def minimum_variance(
    rewards_B: Tensor, groups_B: Tensor, lengths_B: Tensor, log_weights_B: Tensor
) -> Tensor:
    """V-hat(x) = sum_i w_i^2 l_i r_i / sum_i w_i^2 l_i,  w = pi(y|x)/mu(y|x), l tokens of y.

    Variance-controlled policy optimization's off-policy baseline (VCPO; Huang et al. 2026, arXiv
    2602.17616): the V of least variance of sum w (r - V) grad log pi has w^2 g^2 as weights, with
    g the norm of grad log pi(y|x). The paper takes g from a backward pass for each sequence; here
    g^2 is taken to grow as the length does, as in `length_weighted_mean`, which this is while pi is
    mu. w is not truncated, as there; the paper's step size by effective sample size is not part of
    it. It needs log pi of the whole step, and so a first pass without a gradient.

    Value: it is the one for objectives that weigh by pi/mu, `tis` foremost.
    Fails: as pi leaves mu's failures their w falls, and V rises to the rewards of the completions
    that pi keeps, so above V^mu; an objective without weights, as AsymRE, then collapses. With one
    large w in a group, V is that completion's reward.

    Raises `InputError` if a group has no completion token.
    """
    # the largest weight of a group is 1: none overflows, and a common factor cancels
    scaled_B = log_weights_B - group_maxima(log_weights_B, groups_B)
    weights_B = (2 * scaled_B).exp().to(rewards_B.dtype) * lengths_B
    return _weighted_mean(rewards_B, groups_B, weights_B, name="minimum_variance")


def limit_support(
    rewards_B: Tensor, groups_B: Tensor, completions_B: Tensor, *, support: float
) -> Tensor:
    """V-hat(x) = sup{V <= V^mu : mu(support of pi*_V) >= support}, on the group's own samples.

    Theorem 4.2 of Arnal et al. 2025, with the group's empirical distribution as mu: a completion's
    share of the samples, and its mean reward. The limit pi*_V of training at V keeps fewer of them
    the closer V is to V^mu (`limit_policy.py`); this V, at any baseline below 0, keeps those that
    make up `support` of the samples. No paper has it as a baseline.

    Value: with two reward levels, unlike completions and a share p of successes, V is V^mu if
    p >= support, else the low reward: hard prompts teach by their successes alone, as under
    `group_quantile`, but easy ones have the group's mean. V is never above that.
    Fails: groups are small beside what mu can say, so the limit on them is not that of mu; and the
    theorem is of a table, in which completions share nothing.

    Raises `ConfigError` unless 0 < support <= 1.
    """
    if not 0 < support <= 1:
        raise ConfigError(f"the support that is kept must be above 0 and at most 1, not {support}")
    values_B = torch.empty_like(rewards_B)
    for group in torch.unique(groups_B):
        is_of_group_B = groups_B == group
        values_B[is_of_group_B] = _value_of_group(
            rewards_B[is_of_group_B], completions_B[is_of_group_B], support
        )
    return values_B


def _value_of_group(rewards_G: Tensor, completions_G: Tensor, support: float) -> float:
    _, arm_of_G, counts_A = torch.unique(completions_G, return_inverse=True, return_counts=True)
    lowest = rewards_G.min()
    # above the lowest, so that equal rewards are exactly 0 and V is exactly they
    above_A = rewards_G.new_zeros(len(counts_A)).index_add_(0, arm_of_G, rewards_G - lowest)
    value = value_of_support(
        counts_A.double() / len(rewards_G), above_A / counts_A, support=support
    )
    return float(lowest + value)


def _weighted_mean(rewards_B: Tensor, groups_B: Tensor, weights_B: Tensor, *, name: str) -> Tensor:
    total_B = group_sums(weights_B, groups_B)
    if bool((total_B <= 0).any()):
        raise InputError(
            f"baseline_reference={name} met a prompt without a completion token; "
            "leave its rollouts out or use baseline_reference=group_mean"
        )
    return group_sums(weights_B * rewards_B, groups_B) / total_B


class _GroupStatistics(NamedTuple):
    group_of_B: Tensor
    """Place in P of each sequence's group."""
    sizes_P: Tensor
    means_P: Tensor
    squares_P: Tensor
    """Sum over the group of (r - m)^2."""


def _of_groups(values_B: Tensor, groups: _GroupStatistics) -> Tensor:
    """Return each group's value, of values that are equal within a group."""
    values_P = torch.zeros_like(groups.means_P)
    return values_P.index_put((groups.group_of_B,), values_B.to(values_P.dtype))


def _statistics(rewards_B: Tensor, groups_B: Tensor) -> _GroupStatistics:
    _, group_of_B, sizes_P = torch.unique(groups_B, return_inverse=True, return_counts=True)
    zeros_P = rewards_B.new_zeros(len(sizes_P))
    means_P = zeros_P.index_add(0, group_of_B, rewards_B) / sizes_P
    centred_B = rewards_B - means_P[group_of_B]
    squares_P = zeros_P.index_add(0, group_of_B, centred_B.square())
    return _GroupStatistics(group_of_B, sizes_P, means_P, squares_P)
