"""Objectives that look at pi/mu, each as what every sequence adds to the loss.

    rho_t = pi(y_t|x, y_<t) / mu(y_t|x, y_<t)     of a token
    rho   = prod_t rho_t = pi(y|x) / mu(y|x)      of a sequence
    sg    = no gradient flows through

Nothing here is averaged: a normaliser comes from outside, so that no gradient depends on how a step
was cut up. Behaviour log-probabilities carry no gradient. In each function mu is the policy that
wrote the rollouts, where an online method has the policy of one update before.

Shapes: B sequences, C completion tokens of them laid end to end; `sequence_of_C` (int64) holds the
place in B of each token. All losses are to be minimised, and have shape B.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def sequence_sums(values_C: Tensor, sequence_of_C: Tensor, advantages_B: Tensor) -> Tensor:
    """Sum a value of each token over its sequence   (B,)."""
    sums_B = values_C.new_zeros(len(advantages_B))
    return sums_B.index_add_(0, sequence_of_C, values_C)


def clipped(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """L = -sum_t min(rho_t A, clip(rho_t, 1 - clip_low, 1 + clip_high) A).

    PPO's surrogate (Schulman et al. 2017, arXiv 1707.06347, Eq. 7) of a token, without a critic;
    GRPO's (Shao et al. 2024, arXiv 2402.03300, Eq. 3, without its KL term) where A is standardised
    in the group; two clips as in DAPO (Yu et al. 2025, arXiv 2503.14476, Sec. 3.1).
    """
    ratio_C = (logps_C - behaviour_logps_C).exp()
    advantages_C = advantages_B[sequence_of_C]
    kept_C = ratio_C.clamp(1 - clip_low, 1 + clip_high)
    surrogate_C = (ratio_C * advantages_C).minimum(kept_C * advantages_C)
    return -sequence_sums(surrogate_C, sequence_of_C, advantages_B)


def cispo(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """L = -sum_t sg(clip(rho_t, 1 - clip_low, 1 + clip_high)) A log pi_t.

    MiniMax-M1 (Chen et al. 2025, arXiv 2506.13585, Eq. 4 and 5): the weight is clipped and no
    token's gradient is dropped; A is standardised in the group.
    """
    weight_C = (logps_C - behaviour_logps_C).detach().exp().clamp(1 - clip_low, 1 + clip_high)
    terms_C = weight_C * advantages_B[sequence_of_C] * logps_C
    return -sequence_sums(terms_C, sequence_of_C, advantages_B)


def tis(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    weight_limit: float,
) -> Tensor:
    """L = -sg(min(rho, weight_limit)) A log pi(y|x): truncated importance sampling, by sequence.

    Ionides 2008 truncates importance weights so; Le Roux et al. 2025 (arXiv 2503.14286, Sec. 2)
    take it, at the limit 1, as what TOPR is compared with. With no limit and A = r - V it is
    off-policy REINFORCE with exact importance weights.
    """
    logp_B = sequence_sums(logps_C, sequence_of_C, advantages_B)
    log_ratio_B = _log_ratio(logps_C, behaviour_logps_C, sequence_of_C, advantages_B)
    weight_B = log_ratio_B.clamp(max=math.log(weight_limit)).exp()
    return -weight_B * advantages_B * logp_B


def tis_token(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    weight_limit: float,
) -> Tensor:
    """L = -sum_t sg(min(rho_t, weight_limit)) A log pi_t: the same with each token's own ratio.

    As reinforcement learning frameworks correct for what their sampler's numerics change (Yao et
    al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"); biased,
    because the ratio of a prefix is left out.
    """
    log_ratio_C = (logps_C - behaviour_logps_C).detach()
    weight_C = log_ratio_C.clamp(max=math.log(weight_limit)).exp()
    return -sequence_sums(
        weight_C * advantages_B[sequence_of_C] * logps_C, sequence_of_C, advantages_B
    )


def topr(
    logps_C: Tensor, behaviour_logps_C: Tensor, advantages_B: Tensor, sequence_of_C: Tensor
) -> Tensor:
    """L = -w A log pi(y|x),  w = 1 where A >= 0, sg(min(rho, 1)) where A < 0; rho of the sequence.

    Tapered off-policy REINFORCE (Le Roux et al. 2025, arXiv 2503.14286, Sec. 3), its canonical
    form: positives at full weight, negatives fade as the policy leaves them. Its R - c is A here.
    """
    logp_B = sequence_sums(logps_C, sequence_of_C, advantages_B)
    log_ratio_B = _log_ratio(logps_C, behaviour_logps_C, sequence_of_C, advantages_B)
    weight_B = log_ratio_B.clamp(max=0).exp().where(advantages_B < 0, 1.0)
    return -weight_B * advantages_B * logp_B


def topr_token(
    logps_C: Tensor, behaviour_logps_C: Tensor, advantages_B: Tensor, sequence_of_C: Tensor
) -> Tensor:
    """L = -sum_t w_t A log pi_t,  w_t = 1 where A > 0, sg(min(rho_t, 1)) where A <= 0.

    Trinity-RFT's policy loss `topr`: each token has its own ratio. Not the paper's method.
    """
    log_ratio_C = (logps_C - behaviour_logps_C).detach()
    advantages_C = advantages_B[sequence_of_C]
    weight_C = log_ratio_C.clamp(max=0).exp().where(advantages_C <= 0, 1.0)
    return -sequence_sums(weight_C * advantages_C * logps_C, sequence_of_C, advantages_B)


def opmd_kimi(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    tau: float,
) -> Tensor:
    """L = -A log pi(y|x) + (tau/2) (log pi(y|x) - log mu(y|x))^2,   A = r - mean r.

    Online policy mirror descent of Kimi k1.5 (Kimi Team 2025, arXiv 2501.12599, Eq. 3): the
    group's mean stands for tau log Z. A sample with A = 0 still pulls pi back to mu.
    """
    logp_B = sequence_sums(logps_C, sequence_of_C, advantages_B)
    log_ratio_B = sequence_sums(logps_C - behaviour_logps_C, sequence_of_C, advantages_B)
    return -advantages_B * logp_B + tau / 2 * log_ratio_B.square()


def asymre_reverse_kl(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    kl_coefficient: float,
) -> Tensor:
    """L = -A log pi(y|x) + kl_coefficient (rho log rho - rho + 1),   rho of the sequence.

    AsymRE (Arnal et al. 2025, Eq. 4) with a penalty on KL(pi || mu) = E_{y ~ mu}[rho log rho]; as
    E_mu[rho] = 1, the rest of the term averages to 0, makes every sample's share >= 0, and leaves
    the gradient rho log rho grad log pi. A penalty on the samples' forward KL(mu || pi) needs no
    objective: with coefficient beta it is AsymRE at a baseline lower by beta.
    """
    logp_B = sequence_sums(logps_C, sequence_of_C, advantages_B)
    log_ratio_B = sequence_sums(logps_C - behaviour_logps_C, sequence_of_C, advantages_B)
    penalty_B = log_ratio_B.exp() * (log_ratio_B - 1) + 1
    return -advantages_B * logp_B + kl_coefficient * penalty_B


def _log_ratio(
    logps_C: Tensor, behaviour_logps_C: Tensor, sequence_of_C: Tensor, advantages_B: Tensor
) -> Tensor:
    """Return sg(log rho) of each sequence   (B,)."""
    return sequence_sums((logps_C - behaviour_logps_C).detach(), sequence_of_C, advantages_B)
