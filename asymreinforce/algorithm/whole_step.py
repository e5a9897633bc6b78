"""Objectives whose loss looks at the whole step: M2PO's mask of tokens, DPO's pairs of sequences.

    rho_t = pi(y_t|x, y_<t) / mu(y_t|x, y_<t)     of a token
    h     = log pi(y|x) - log mu(y|x)             of a sequence
    sg    = no gradient flows through

They are given all tokens of the step at once. The gradient is exact all the same, however the step
is cut up: the loss is a function of log pi of its tokens, whose derivatives are the coefficients of
a second pass (`update/whole_step.py`).

Shapes: B sequences of the step, C completion tokens of them laid end to end; `sequence_of_C`
(int64) holds the place in B of each token, `groups_B` an integer per sequence, equal for the
samples of one prompt. All losses are to be minimised, and have shape B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asymreinforce.algorithm.ratio import sequence_sums
from asymreinforce.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def m2po(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    groups_B: Tensor,
    *,
    second_moment_limit: float,
) -> Tensor:
    """L = -sum_t M_t rho_t A,   M_t in {0, 1}: no clip, but the farthest tokens of the step masked.

    Second-moment trust policy optimization (M2PO; Zheng et al. 2025, arXiv 2510.01161, its
    objective): M is `second_moment_mask`, A = (r - mean r)/std.
    Fails: with rollouts many updates old nearly every token that may be masked is above the limit,
    and those that stay are the ones that pi has hardly moved.
    """
    log_ratio_C = logps_C - behaviour_logps_C
    advantages_C = advantages_B[sequence_of_C]
    kept_C = second_moment_mask(log_ratio_C.detach(), advantages_C, limit=second_moment_limit)
    # the ratio of a token without weight may be infinite, and 0 times that is no number
    weight_C = advantages_C * kept_C
    surrogate_C = log_ratio_C.masked_fill(weight_C == 0, 0.0).exp() * weight_C
    return -sequence_sums(surrogate_C, sequence_of_C, advantages_B)


def second_moment_mask(log_ratio_C: Tensor, advantages_C: Tensor, *, limit: float) -> Tensor:
    """Mask as few tokens as leave mean (log rho_t)^2 <= limit over those that are left   (C, bool).

    The largest go first, as AReaL documents the mask, over all tokens. Here only those that a clip
    would stop count and may be masked: A > 0 and rho_t > 1, or A < 0 and rho_t < 1. So in the
    authors' code (github.com/Infini-AI-Lab/M2PO), which caps log rho in place of masking, at a
    bound of the same budget that is never tighter than rho in [0.7, 1.5].
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


def dpo(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    groups_B: Tensor,
    *,
    tau: float,
) -> Tensor:
    """L = -G mean over pairs of log sigma(tau (h(y+) - h(y-))),   for a group of G samples.

    Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290, Eq. 7; tau is its beta)
    on all pairs of a correct and an incorrect sample of a prompt; groups without one have no loss.
    Each prompt counts by its samples, not by its pairs. Half of a pair's loss is each sequence's.
    The paper's reference is the policy that was fine-tuned on the preferred answers, or that policy
    before training; here it is mu, which drew both answers. A is 1[correct] - its mean.
    Fails: only the margin h(y+) - h(y-) is held, so both may fall, and with them all of mu.

    Raises `ConfigError` unless tau > 0.
    """
    if tau <= 0:
        raise ConfigError(f"algorithm.tau={tau} of dpo must be above 0; it scales the margin")
    log_ratio_B = sequence_sums(logps_C - behaviour_logps_C, sequence_of_C, advantages_B)
    right_B, wrong_B = advantages_B > 0, advantages_B < 0
    are_of_group_BB = groups_B[:, None] == groups_B
    right_n, wrong_n = (are_of_group_BB & right_B[:, None] & wrong_B).nonzero(as_tuple=True)
    margins_n = log_ratio_B[right_n] - log_ratio_B[wrong_n]
    # softplus(-z) = -log sigma(z)
    pair_losses_n = (-tau * margins_n).logaddexp(margins_n.new_zeros(()))
    # A of the two is (G - k)/G and -k/G, with k correct samples: G/(k (G - k)) pairs' weight
    sizes_n = are_of_group_BB.sum(1)[right_n]
    weights_n = 1 / (sizes_n * advantages_B[right_n] * -advantages_B[wrong_n])
    halves_n = weights_n * pair_losses_n / 2
    losses_B = halves_n.new_zeros(len(advantages_B))
    return losses_B.index_add(0, right_n, halves_n).index_add(0, wrong_n, halves_n)
