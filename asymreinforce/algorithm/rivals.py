"""Further objectives: Dr. GRPO, DAPO, GSPO, M2PO, DRO (ratio) and AWR (linear).

    rho_t = pi(y_t|x, y_<t) / mu(y_t|x, y_<t)     of a token
    rho   = prod_t rho_t = pi(y|x) / mu(y|x)      of a sequence

Ratio objectives have the arguments of those in `ratio.py` and its shapes: B sequences, C completion
tokens laid end to end, losses of shape B, to be minimised. `awr` has those of `linear.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asymreinforce.algorithm.ratio import clipped, sequence_sums
from asymreinforce.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

DEFAULTS: Mapping[str, Mapping[str, float]] = {
    # PPO's clip (Schulman et al. 2017, Sec. 6.1); Dr. GRPO changes A and the lengths, not the clip
    "dr_grpo": {"clip_low": 0.2, "clip_high": 0.2},
    # Yu et al. 2025, Sec. 4.1
    "dapo": {"clip_low": 0.2, "clip_high": 0.28},
    # Zheng et al. 2025, Sec. 5.1
    "gspo": {"clip_low": 3e-4, "clip_high": 4e-4},
    # Zheng, Zhao and Chen 2025, Sec. 5.2: one value in all their experiments
    "m2po": {"second_moment_limit": 0.04},
    # Richemond et al. 2024: the best of 0.1, 1 and 5 on UltraFeedback
    "dro": {"tau": 1.0},
    # the authors' code, which standardises A over a batch; with rewards of +1 and -1, |A| <= 2
    "awr": {"tau": 1.0, "weight_limit": 20.0},
}
"""Options of each objective, where the source prints them from the source."""


def dr_grpo(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """L = -sum_t min(rho_t A, clip(rho_t, 1 - clip_low, 1 + clip_high) A),  A = r - mean r.

    Dr. GRPO (Liu et al. 2025, arXiv 2503.20783, Sec. 3.2): GRPO without the group's standard
    deviation in A and without 1/length, so the reference is `group_mean` and the aggregation
    `sequence_sum`. A is G/(G-1) times smaller than RLOO's. The gradient at pi = mu is that of
    AsymRE at baseline 0.
    Fails: off policy baseline 0 is the critical value, and only the clip holds pi near mu; a token
    with A < 0 and rho_t > 1 is never clipped.
    """
    return clipped(
        logps_C,
        behaviour_logps_C,
        advantages_B,
        sequence_of_C,
        clip_low=clip_low,
        clip_high=clip_high,
    )


def dapo(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """L = -sum_t min(rho_t A, clip(rho_t, 1 - clip_low, 1 + clip_high) A),  A = (r - mean r)/std.

    DAPO (Yu et al. 2025, arXiv 2503.14476, Eq. 8 and 10): PPO's clip, wider above than below, under
    the aggregation `token_mean`. Its dynamic sampling drops groups of equal rewards, which have
    A = 0 here and count in N; its reward for length is a reward, no part of the loss.
    Fails: entropy can rise steeply early on (Wu et al. 2025, arXiv 2509.22611); the further pi is
    from mu the fewer tokens teach, and those with A < 0 and rho_t > 1 are never clipped.
    """
    return clipped(
        logps_C,
        behaviour_logps_C,
        advantages_B,
        sequence_of_C,
        clip_low=clip_low,
        clip_high=clip_high,
    )


def gspo(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """L = -min(s A, clip(s, 1 - clip_low, 1 + clip_high) A),  s = rho^(1/n), n tokens.

    Group sequence policy optimization (Zheng et al. 2025, arXiv 2507.18071, Eq. 5 and 7): one ratio
    a sequence, the geometric mean of its tokens', and A = (r - mean r)/std. The mean over tokens is
    inside s, so the aggregation is `sequence_sum`. At n = 1 it is PPO's clip.
    Fails: one clip for all lengths, though s strays less from 1 the longer a sequence is; with
    rollouts many updates old nearly every s is outside so narrow a clip and few samples teach.
    """
    # a sequence may have no token here; its ratio is then 1
    lengths_B = sequence_sums(logps_C.new_ones(len(logps_C)), sequence_of_C, advantages_B)
    log_ratio_B = sequence_sums(logps_C - behaviour_logps_C, sequence_of_C, advantages_B)
    ratio_B = (log_ratio_B / lengths_B.clamp_min(1)).exp()
    kept_B = ratio_B.clamp(1 - clip_low, 1 + clip_high)
    return -(ratio_B * advantages_B).minimum(kept_B * advantages_B)


def m2po_mask(log_ratio_C: Tensor, advantages_C: Tensor, *, second_moment_limit: float) -> Tensor:
    """Return which tokens M2PO keeps   (C,), bool.

    Of the tokens that PPO could clip (A > 0 and rho_t > 1, or A < 0 and rho_t < 1), those with the
    largest (log rho_t)^2 go until the mean of the rest is at most `second_moment_limit`; all other
    tokens stay (Zheng, Zhao and Chen 2025, arXiv 2510.01161, Algorithm 1).
    """
    places_K = (log_ratio_C * advantages_C > 0).nonzero().squeeze(1)
    moments_K, order_K = log_ratio_C[places_K].square().sort(stable=True)
    counts_K = moments_K.new_ones(len(moments_K)).cumsum(0)
    # the mean of the k smallest grows with k
    kept = int((moments_K.cumsum(0) <= second_moment_limit * counts_K).sum())
    mask_C = log_ratio_C.new_ones(len(log_ratio_C)).bool()
    mask_C[places_K[order_K[kept:]]] = False
    return mask_C


def m2po(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    second_moment_limit: float,
) -> Tensor:
    """L = -sum_t M_t rho_t A,  M_t of `m2po_mask`, no gradient through it; A = (r - mean r)/std.

    Second-moment trust policy optimization (Zheng, Zhao and Chen 2025, arXiv 2510.01161, Eq. 5,
    whose ratio is read as a token's). Masked tokens count in the mean over tokens (its footnote 2).
    The authors' code is another algorithm: it makes a clip of the same bound, never narrower than
    0.7 to 1.5.

    The mask is one of all tokens given. The paper's are those of the whole step: called with a
    micro-batch this function is *not* independent of how a step is cut up.
    Fails: a step in which no ratio is near 1 keeps few constrained tokens, while those with A < 0
    and rho_t > 1 have no bound.
    """
    log_ratio_C = logps_C - behaviour_logps_C
    advantages_C = advantages_B[sequence_of_C]
    mask_C = m2po_mask(log_ratio_C.detach(), advantages_C, second_moment_limit=second_moment_limit)
    # a masked ratio may be infinite, and 0 times infinity is no number
    ratio_C = log_ratio_C.where(mask_C, 0.0).exp()
    return -sequence_sums(ratio_C * advantages_C * mask_C, sequence_of_C, advantages_B)


def dro(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    tau: float,
) -> Tensor:
    """L = (1/(2 tau)) (A - tau log rho)^2,  A = r - V.

    Direct reward optimisation (Richemond et al. 2024, arXiv 2405.19107): the squared residual of
    r - V(x) = tau log(pi/pi_ref), divided by tau as the paper does for its policy gradient. pi_ref
    is mu here and V the reference plus the baseline, where the paper learns both V and pi. The
    gradient is that of `opmd_kimi` with the same tau, whatever the reference.
    Fails: the optimum's V is tau log E_mu[exp(r/tau)]. The group's mean is below that unless all
    rewards are equal, and no pi then has residual 0 on all of mu. Small tau lets pi go far from mu.

    Raises `ConfigError` unless tau > 0.
    """
    _require_positive(tau, name="dro")
    log_ratio_B = sequence_sums(logps_C - behaviour_logps_C, sequence_of_C, advantages_B)
    return (advantages_B - tau * log_ratio_B).square() / (2 * tau)


def awr(advantages_B: Tensor, correct_B: Tensor, *, tau: float, weight_limit: float) -> Tensor:
    """c = min(exp(A / tau), weight_limit),  A = r - V.

    Advantage-weighted regression (Peng et al. 2019, arXiv 1910.00177, Algorithm 1; tau is its
    beta), the exponential clipped as its authors do. No sample is pushed down. If no weight is
    clipped, the optimum is pi proportional to mu exp(r / tau), and a baseline only scales the loss.
    Fails: nothing that mu never drew is found; small tau leaves the best samples alone, at the
    limit, and large tau clones mu. The scale of the weights enters the learning rate.

    Raises `ConfigError` unless tau > 0.
    """
    _require_positive(tau, name="awr")
    return (advantages_B / tau).clamp_max(math.log(weight_limit)).exp()


def _require_positive(tau: float, *, name: str) -> None:
    if tau <= 0:
        raise ConfigError(
            f"algorithm.tau={tau} of {name} must be above 0; it divides the advantage"
        )
