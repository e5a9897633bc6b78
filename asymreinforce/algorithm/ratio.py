"""Objectives that use the ratio pi/mu; each function returns one loss per sequence.

    rho_t = pi(y_t|x, y_<t) / mu(y_t|x, y_<t)     ratio of a token
    rho   = prod_t rho_t = pi(y|x) / mu(y|x)      ratio of a sequence
    pi_t  = pi(y_t|x, y_<t)                       probability of a token
    sg(.)                                         no gradient flows through

A is the advantage. The caller divides by N, so the gradient does not depend on micro-batches. mu is
the behaviour policy, which wrote the rollouts; in an online method mu would be the policy of the
update before. log mu carries no gradient.

"Fails" in a docstring names the case in which an objective goes wrong.

Shapes: B sequences, C completion tokens of all sequences end to end (`tokens.py`). Losses have
shape B and are minimised.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asymreinforce.algorithm.linear import require_positive

if TYPE_CHECKING:
    from torch import Tensor

    from asymreinforce.algorithm.tokens import TokenLogps

LARGEST_LOG_RATIO = 10.0
"""NFT's authors limit a token's ratio to e^10 (github.com/NVlabs/NFT)."""


def clipped(tokens: TokenLogps, *, clip_low: float, clip_high: float) -> Tensor:
    """L = -sum_t min(rho_t A, clip(rho_t, 1 - clip_low, 1 + clip_high) A).

    PPO's surrogate of a token (Schulman et al. 2017, arXiv 1707.06347, Eq. 7), without a critic. If
    A is standardised in the group, this is GRPO's loss without the KL term (Shao et al. 2024, arXiv
    2402.03300, Eq. 3). Two clips are DAPO's (Yu et al. 2025, arXiv 2503.14476, Sec. 3.1).
    """
    ratio_C, advantages_C = tokens.log_ratio_C.exp(), tokens.advantages_C
    kept_C = ratio_C.clamp(1 - clip_low, 1 + clip_high)
    surrogate_C = (ratio_C * advantages_C).minimum(kept_C * advantages_C)
    return -tokens.sums(surrogate_C)


def cispo(tokens: TokenLogps, *, clip_low: float, clip_high: float) -> Tensor:
    """L = -sum_t sg(clip(rho_t, 1 - clip_low, 1 + clip_high)) A log pi_t.

    CISPO of MiniMax-M1 (Chen et al. 2025, arXiv 2506.13585, Eq. 4 and 5): only the weight is
    clipped, so every token keeps a gradient. A is standardised in the group.
    """
    weight_C = tokens.log_ratio_C.detach().exp().clamp(1 - clip_low, 1 + clip_high)
    return -tokens.sums(weight_C * tokens.advantages_C * tokens.logps_C)


def tis(tokens: TokenLogps, *, weight_limit: float) -> Tensor:
    """L = -sg(min(rho, weight_limit)) A log pi(y|x): truncated importance sampling of sequences.

    The truncation is of Ionides 2008. Le Roux et al. 2025 (arXiv 2503.14286, Sec. 2) compare TOPR
    with this loss at limit 1. With no limit and A = r - V this loss is off-policy REINFORCE with
    exact importance weights.
    """
    weight_B = tokens.log_ratio_B.detach().clamp(max=math.log(weight_limit)).exp()
    return -weight_B * tokens.advantages_B * tokens.logp_B


def tis_token(tokens: TokenLogps, *, weight_limit: float) -> Tensor:
    """L = -sum_t sg(min(rho_t, weight_limit)) A log pi_t: truncated importance sampling of tokens.

    Frameworks use this weight to correct for the numerics of their sampler (Yao et al. 2025, "Your
    efficient RL framework secretly brings you off-policy RL training"). The weight is biased,
    because the ratio of the prefix is left out.
    """
    weight_C = tokens.log_ratio_C.detach().clamp(max=math.log(weight_limit)).exp()
    return -tokens.sums(weight_C * tokens.advantages_C * tokens.logps_C)


def topr(tokens: TokenLogps) -> Tensor:
    """L = -w A log pi(y|x),  w = 1 if A >= 0, else sg(min(rho, 1)).

    Tapered off-policy REINFORCE, TOPR (Le Roux et al. 2025, arXiv 2503.14286, Sec. 3), in the
    canonical form: positives keep full weight, negatives fade as the policy leaves them. The
    paper's R - c is A here.
    """
    weight_B = tokens.log_ratio_B.detach().clamp(max=0).exp().where(tokens.advantages_B < 0, 1.0)
    return -weight_B * tokens.advantages_B * tokens.logp_B


def topr_token(tokens: TokenLogps) -> Tensor:
    """L = -sum_t w_t A log pi_t,  w_t = 1 if A > 0, else sg(min(rho_t, 1)).

    The policy loss `topr` of Trinity-RFT. TOPR's paper uses the ratio of the sequence instead.
    """
    advantages_C = tokens.advantages_C
    weight_C = tokens.log_ratio_C.detach().clamp(max=0).exp().where(advantages_C <= 0, 1.0)
    return -tokens.sums(weight_C * advantages_C * tokens.logps_C)


def opmd_kimi(tokens: TokenLogps, *, tau: float) -> Tensor:
    """L = -A log pi(y|x) + (tau/2) (log pi(y|x) - log mu(y|x))^2,   A = r - mean r.

    Online policy mirror descent of Kimi k1.5 (Kimi Team 2025, arXiv 2501.12599, Eq. 3), with the
    group's mean in place of tau log Z. A sample with A = 0 still pulls pi back to mu.
    """
    return -tokens.advantages_B * tokens.logp_B + tau / 2 * tokens.log_ratio_B.square()


def asymre_reverse_kl(tokens: TokenLogps, *, kl_coefficient: float) -> Tensor:
    """L = -A log pi(y|x) + kl_coefficient (rho log rho - rho + 1).

    AsymRE (Arnal et al. 2025, Eq. 4) with a penalty on KL(pi || mu) = E_{y ~ mu}[rho log rho]. The
    term 1 - rho averages to 0 because E_mu[rho] = 1; it makes every sample's penalty >= 0 and the
    gradient rho log rho grad log pi. A penalty beta KL(mu || pi) needs no objective: AsymRE with a
    baseline lower by beta has the same gradient.
    """
    log_ratio_B = tokens.log_ratio_B
    penalty_B = log_ratio_B.exp() * (log_ratio_B - 1) + 1
    return -tokens.advantages_B * tokens.logp_B + kl_coefficient * penalty_B


def gspo(tokens: TokenLogps, *, clip_low: float, clip_high: float) -> Tensor:
    """L = -min(s A, clip(s, 1 - clip_low, 1 + clip_high) A),  s = rho^(1/n), n tokens.

    Group sequence policy optimization (GSPO; Zheng et al. 2025, arXiv 2507.18071, Eq. 5 and 7): the
    ratio of a sequence is the geometric mean of its tokens' ratios, and A = (r - mean r)/std. s
    contains the mean over tokens, so the aggregation is `sequence_sum`. n = 1 gives PPO's clip.
    Fails: the clip is the same for all lengths although s stays closer to 1 in longer sequences.
    With rollouts many updates old nearly every s is outside the narrow clip, and few samples teach.
    """
    # at least 1: a sequence without a token in this micro-batch then has ratio 1, not 0/0
    lengths_B = tokens.sums(tokens.logps_C.new_ones(len(tokens.logps_C))).clamp_min(1)
    ratio_B, advantages_B = (tokens.log_ratio_B / lengths_B).exp(), tokens.advantages_B
    kept_B = ratio_B.clamp(1 - clip_low, 1 + clip_high)
    return -(ratio_B * advantages_B).minimum(kept_B * advantages_B)


def dro(tokens: TokenLogps, *, tau: float) -> Tensor:
    """L = (1/(2 tau)) (A - tau log rho)^2,  A = r - V.

    Direct reward optimisation (DRO; Richemond et al. 2024, arXiv 2405.19107): the squared residual
    of r - V(x) = tau log(pi/pi_ref), divided by tau as in the paper's policy gradient. Here pi_ref
    is mu, and V is reference plus baseline; the paper learns both V and pi. The gradient equals the
    gradient of `opmd_kimi` with the same tau and A, for any reference.
    Fails: the optimal V is tau log E_mu[exp(r/tau)]. The group's mean is smaller unless all rewards
    are equal, so no pi has residual 0 on all of mu. Small tau lets pi go far from mu.

    Raises `ConfigError` unless tau > 0.
    """
    require_positive(tau, name="dro")
    return (tokens.advantages_B - tau * tokens.log_ratio_B).square() / (2 * tau)


def vespo(
    tokens: TokenLogps,
    *,
    positive_power: float,
    positive_decay: float,
    negative_power: float,
    negative_decay: float,
) -> Tensor:
    """L = -sg(phi(rho)) A log pi(y|x),   phi(rho) = rho^k e^(l (1 - rho)).

    Variational sequence-level soft policy optimization (VESPO; Shen et al. 2026, arXiv 2602.10693,
    Sec. 3.4). The weight phi has the shape of a gamma density: 1 at rho = 1, near 0 for much
    smaller and much larger rho. The power k (the paper's c1) and the decay l (c2) differ for A >= 0
    and A < 0. A = (r - mean r)/std.
    Fails: phi peaks at rho = k/l, so correct samples fade before pi gives them mu's probability.
    rho of long completions is soon so far from 1 that few samples teach.
    """
    log_ratio_B, is_positive_B = tokens.log_ratio_B.detach(), tokens.advantages_B >= 0
    power_B = log_ratio_B.new_full((), positive_power).where(is_positive_B, negative_power)
    decay_B = log_ratio_B.new_full((), positive_decay).where(is_positive_B, negative_decay)
    weight_B = (power_B * log_ratio_B + decay_B * (1 - log_ratio_B.exp())).exp()
    return -weight_B * tokens.advantages_B * tokens.logp_B


def nft(tokens: TokenLogps, *, likelihood_floor: float) -> Tensor:
    """L = -(1 - p) sum_t log rho_t of correct y,  -(1 - p) sum_t log max(q_t, floor) of others.

        q_t = (1 - p rho_t) / (1 - p),   p the group's share of correct samples

    Negative-aware fine-tuning (NFT; Chen et al. 2025, arXiv 2505.18116). mu is read as a mixture
    mu = p pi + (1 - p) pi-, with pi the policy of correct answers and pi- the policy of incorrect
    answers. NFT also maximises q_t = pi-/mu of the incorrect answers. The gradient passes through
    the max as if max(q_t, floor) were q_t. The prompt's weight 1 - p is the authors' default: one
    step at pi = mu then has Dr. GRPO's gradient with A = 1[correct] - p. The advantage is this A.
    Groups with only correct or only incorrect samples have A = 0 and no loss. The authors' code
    also limits p to [0.02, 0.98].
    Fails: if rho_t > 1 on an incorrect answer, the push is p rho_t, which grows with pi.
    """
    log_ratio_C, advantages_C = tokens.log_ratio_C, tokens.advantages_C
    is_wrong_C = advantages_C < 0
    # incorrect samples have A = -p; 0 for all others, so that their q is 1
    share_C = (-advantages_C).clamp_min(0)
    ratio_C = log_ratio_C.clamp(max=LARGEST_LOG_RATIO).exp()
    rest_C = (1 - share_C * ratio_C) / (1 - share_C)
    # the detached difference changes the value to the max and leaves q's gradient
    floored_C = rest_C + (rest_C.clamp_min(likelihood_floor) - rest_C).detach()
    gain_C = floored_C.log().where(is_wrong_C, log_ratio_C)
    weight_C = (1 + advantages_C).where(is_wrong_C, advantages_C)  # 1 - p, and 0 if A is 0
    return -tokens.sums(weight_C * gain_C)
