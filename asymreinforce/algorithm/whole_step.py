"""Objectives whose loss needs the whole step: M2PO masks tokens, DPO pairs sequences.

    rho_t = pi(y_t|x, y_<t) / mu(y_t|x, y_<t)     ratio of a token
    h     = log pi(y|x) - log mu(y|x)             log ratio of a sequence

A is the advantage. The functions get all tokens of the step at once. The loss is a function of the
tokens' log pi; its derivatives are the coefficients of a second pass (`update/loss_inputs.py`), so
the gradient is exact for any micro-batches.

Shapes: B sequences of the step, C completion tokens of all sequences end to end (`tokens.py`).
Losses have shape B and are minimised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asymreinforce.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from asymreinforce.algorithm.tokens import TokenLogps


def m2po(tokens: TokenLogps, *, second_moment_limit: float) -> Tensor:
    """L = -sum_t M_t rho_t A,   M_t in {0, 1}: the tokens of the step that moved most are masked.

    Second-moment trust policy optimization (M2PO; Zheng et al. 2025, arXiv 2510.01161): M is
    `second_moment_mask`, A = (r - mean r)/std.
    Fails: with rollouts many updates old nearly every token that can be masked exceeds the limit,
    and only tokens that pi has hardly moved remain.
    """
    log_ratio_C, advantages_C = tokens.log_ratio_C, tokens.advantages_C
    kept_C = second_moment_mask(log_ratio_C.detach(), advantages_C, limit=second_moment_limit)
    # the ratio of a token with weight 0 may be infinite, and 0 times infinity is NaN
    weight_C = advantages_C * kept_C
    return -tokens.sums(log_ratio_C.masked_fill(weight_C == 0, 0.0).exp() * weight_C)


def second_moment_mask(log_ratio_C: Tensor, advantages_C: Tensor, *, limit: float) -> Tensor:
    """Return which tokens to keep so that their mean (log rho_t)^2 is at most `limit`   (C, bool).

    The mask drops as few tokens as possible, the largest (log rho_t)^2 first (AReaL's documentation
    of M2PO, which counts all tokens). Here only tokens that a clip would stop are counted and can
    be dropped: A > 0 and rho_t > 1, or A < 0 and rho_t < 1. The authors' code
    (github.com/Infini-AI-Lab/M2PO) counts the same tokens; instead of masking, that code caps log
    rho at a bound of the same budget, never tighter than rho in [0.7, 1.5].
    """
    at_risk_C = log_ratio_C * advantages_C > 0
    squares, order = log_ratio_C[at_risk_C].double().square().sort(stable=True)
    counts = at_risk_C.new_ones(len(squares)).cumsum(0)
    stays = squares.cumsum(0) / counts <= limit
    kept = stays.new_zeros(len(squares))
    kept[order] = stays
    kept_C = ~at_risk_C
    kept_C[at_risk_C] = kept
    return kept_C


def dpo(tokens: TokenLogps, *, tau: float) -> Tensor:
    """L = -G mean over pairs of log sigma(tau (h(y+) - h(y-))),   for a group of G samples.

    Direct preference optimization (DPO; Rafailov et al. 2023, arXiv 2305.18290, Eq. 7; tau is the
    paper's beta), on all pairs of a correct sample y+ and an incorrect sample y- of a prompt. sigma
    is the logistic function. Groups without such a pair have no loss. Each prompt counts by its
    samples, not by its pairs. Each sequence of a pair has half of the pair's loss. The paper's
    reference policy is fine-tuned on the preferred answers, or is the policy before training; here
    it is mu, which drew both answers. A = c - mean c, with c = 1[correct].
    Fails: only the margin h(y+) - h(y-) is trained, so both may fall, and all of mu with them.

    Raises `ConfigError` unless tau > 0.
    """
    if tau <= 0:
        raise ConfigError(f"algorithm.tau={tau} of dpo must be above 0; it scales the margin")
    log_ratio_B, advantages_B, groups_B = tokens.log_ratio_B, tokens.advantages_B, tokens.groups_B
    assert groups_B is not None
    right_B, wrong_B = advantages_B > 0, advantages_B < 0
    are_of_group_BB = groups_B[:, None] == groups_B
    right_n, wrong_n = (are_of_group_BB & right_B[:, None] & wrong_B).nonzero(as_tuple=True)
    margins_n = log_ratio_B[right_n] - log_ratio_B[wrong_n]
    # softplus(-z) = -log sigma(z)
    pair_losses_n = (-tau * margins_n).logaddexp(margins_n.new_zeros(()))
    # With k correct samples A is (G - k)/G and -k/G, so this weight is G/(k (G - k)): G times the
    # mean over the group's k (G - k) pairs.
    sizes_n = are_of_group_BB.sum(1)[right_n]
    weights_n = 1 / (sizes_n * advantages_B[right_n] * -advantages_B[wrong_n])
    halves_n = weights_n * pair_losses_n / 2
    losses_B = halves_n.new_zeros(len(advantages_B))
    return losses_B.index_add(0, right_n, halves_n).index_add(0, wrong_n, halves_n)
