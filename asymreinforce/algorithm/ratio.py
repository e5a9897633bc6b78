"""Objectives that use the ratio pi/mu; each function returns one loss per sequence.

    rho_t = pi(y_t|x, y_<t) / mu(y_t|x, y_<t)     ratio of a token
    rho   = prod_t rho_t = pi(y|x) / mu(y|x)      ratio of a sequence
    pi_t  = pi(y_t|x, y_<t)                       probability of a token
    sg(.)                                         no gradient flows through

A is the advantage. The caller divides by N, so the gradient does not depend on micro-batches. mu is
the behaviour policy, which wrote the rollouts; in an online method mu would be the policy of the
update before. log mu carries no gradient.

Shapes: B sequences, C completion tokens of all sequences end to end; `sequence_of_C` (int64) holds
each token's index in B. Losses have shape B and are minimised.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def sequence_sums(values_C: Tensor, sequence_of_C: Tensor, advantages_B: Tensor) -> Tensor:
    """Sum the tokens' values over each sequence   (B,)."""
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

    PPO's surrogate of a token (Schulman et al. 2017, arXiv 1707.06347, Eq. 7), without a critic. If
    A is standardised in the group, this is GRPO's loss without the KL term (Shao et al. 2024, arXiv
    2402.03300, Eq. 3). Two clips are DAPO's (Yu et al. 2025, arXiv 2503.14476, Sec. 3.1).
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

    CISPO of MiniMax-M1 (Chen et al. 2025, arXiv 2506.13585, Eq. 4 and 5): only the weight is
    clipped, so every token keeps a gradient. A is standardised in the group.
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
    """L = -sg(min(rho, weight_limit)) A log pi(y|x): truncated importance sampling of sequences.

    The truncation is of Ionides 2008. Le Roux et al. 2025 (arXiv 2503.14286, Sec. 2) compare TOPR
    with this loss at limit 1. With no limit and A = r - V this loss is off-policy REINFORCE with
    exact importance weights.
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
    """L = -sum_t sg(min(rho_t, weight_limit)) A log pi_t: truncated importance sampling of tokens.

    Frameworks use this weight to correct for the numerics of their sampler (Yao et al. 2025, "Your
    efficient RL framework secretly brings you off-policy RL training"). The weight is biased,
    because the ratio of the prefix is left out.
    """
    log_ratio_C = (logps_C - behaviour_logps_C).detach()
    weight_C = log_ratio_C.clamp(max=math.log(weight_limit)).exp()
    return -sequence_sums(
        weight_C * advantages_B[sequence_of_C] * logps_C, sequence_of_C, advantages_B
    )


def topr(
    logps_C: Tensor, behaviour_logps_C: Tensor, advantages_B: Tensor, sequence_of_C: Tensor
) -> Tensor:
    """L = -w A log pi(y|x),  w = 1 if A >= 0, else sg(min(rho, 1)).

    Tapered off-policy REINFORCE, TOPR (Le Roux et al. 2025, arXiv 2503.14286, Sec. 3), in the
    canonical form: positives keep full weight, negatives fade as the policy leaves them. The
    paper's R - c is A here.
    """
    logp_B = sequence_sums(logps_C, sequence_of_C, advantages_B)
    log_ratio_B = _log_ratio(logps_C, behaviour_logps_C, sequence_of_C, advantages_B)
    weight_B = log_ratio_B.clamp(max=0).exp().where(advantages_B < 0, 1.0)
    return -weight_B * advantages_B * logp_B


def topr_token(
    logps_C: Tensor, behaviour_logps_C: Tensor, advantages_B: Tensor, sequence_of_C: Tensor
) -> Tensor:
    """L = -sum_t w_t A log pi_t,  w_t = 1 if A > 0, else sg(min(rho_t, 1)).

    The policy loss `topr` of Trinity-RFT. TOPR's paper uses the ratio of the sequence instead.
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

    Online policy mirror descent of Kimi k1.5 (Kimi Team 2025, arXiv 2501.12599, Eq. 3), with the
    group's mean in place of tau log Z. A sample with A = 0 still pulls pi back to mu.
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
    """L = -A log pi(y|x) + kl_coefficient (rho log rho - rho + 1).

    AsymRE (Arnal et al. 2025, Eq. 4) with a penalty on KL(pi || mu) = E_{y ~ mu}[rho log rho]. The
    term 1 - rho averages to 0 because E_mu[rho] = 1; it makes every sample's penalty >= 0 and the
    gradient rho log rho grad log pi. A penalty beta KL(mu || pi) needs no objective: AsymRE with a
    baseline lower by beta has the same gradient.
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
