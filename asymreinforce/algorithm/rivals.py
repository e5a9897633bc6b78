"""Further objectives: GSPO, DRO, VESPO and NFT (ratio), AWR (linear).

    rho_t = pi(y_t|x, y_<t) / mu(y_t|x, y_<t)     ratio of a token
    rho   = prod_t rho_t = pi(y|x) / mu(y|x)      ratio of a sequence
    sg(.)                                         no gradient flows through

A is the advantage. Ratio objectives have the arguments and shapes of `ratio.py`: B sequences, C
completion tokens of all sequences end to end, losses of shape B that are minimised. `awr` has the
arguments of `linear.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asymreinforce.algorithm.ratio import sequence_sums
from asymreinforce.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_LOG_RATIO = 10.0
"""NFT's authors limit a token's ratio to e^10 (github.com/NVlabs/NFT)."""


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

    Group sequence policy optimization (GSPO; Zheng et al. 2025, arXiv 2507.18071, Eq. 5 and 7): the
    ratio of a sequence is the geometric mean of its tokens' ratios, and A = (r - mean r)/std. s
    contains the mean over tokens, so the aggregation is `sequence_sum`. n = 1 gives PPO's clip.
    Fails: the clip is the same for all lengths although s stays closer to 1 in longer sequences.
    With rollouts many updates old nearly every s is outside the narrow clip, and few samples teach.
    """
    # at least 1: a sequence without a token in this micro-batch then has ratio 1, not 0/0
    lengths_B = sequence_sums(logps_C.new_ones(len(logps_C)), sequence_of_C, advantages_B)
    log_ratio_B = sequence_sums(logps_C - behaviour_logps_C, sequence_of_C, advantages_B)
    ratio_B = (log_ratio_B / lengths_B.clamp_min(1)).exp()
    kept_B = ratio_B.clamp(1 - clip_low, 1 + clip_high)
    return -(ratio_B * advantages_B).minimum(kept_B * advantages_B)


def dro(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    tau: float,
) -> Tensor:
    """L = (1/(2 tau)) (A - tau log rho)^2,  A = r - V.

    Direct reward optimisation (DRO; Richemond et al. 2024, arXiv 2405.19107): the squared residual
    of r - V(x) = tau log(pi/pi_ref), divided by tau as in the paper's policy gradient. Here pi_ref
    is mu, and V is reference plus baseline; the paper learns both V and pi. The gradient equals the
    gradient of `opmd_kimi` with the same tau and A, for any reference.
    Fails: the optimal V is tau log E_mu[exp(r/tau)]. The group's mean is smaller unless all rewards
    are equal, so no pi has residual 0 on all of mu. Small tau lets pi go far from mu.

    Raises `ConfigError` unless tau > 0.
    """
    _require_positive(tau, name="dro")
    log_ratio_B = sequence_sums(logps_C - behaviour_logps_C, sequence_of_C, advantages_B)
    return (advantages_B - tau * log_ratio_B).square() / (2 * tau)


def vespo(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
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
    log_ratio_B = sequence_sums((logps_C - behaviour_logps_C).detach(), sequence_of_C, advantages_B)
    is_positive_B = advantages_B >= 0
    power_B = log_ratio_B.new_full((), positive_power).where(is_positive_B, negative_power)
    decay_B = log_ratio_B.new_full((), positive_decay).where(is_positive_B, negative_decay)
    weight_B = (power_B * log_ratio_B + decay_B * (1 - log_ratio_B.exp())).exp()
    return -weight_B * advantages_B * sequence_sums(logps_C, sequence_of_C, advantages_B)


def nft(
    logps_C: Tensor,
    behaviour_logps_C: Tensor,
    advantages_B: Tensor,
    sequence_of_C: Tensor,
    *,
    likelihood_floor: float,
) -> Tensor:
    """L = -(1 - p) sum_t log rho_t of correct y,  -(1 - p) sum_t log max(q_t, floor) of others.

        q_t = (1 - p rho_t) / (1 - p),   p the group's share of correct samples

    Negative-aware fine-tuning (NFT; Chen et al. 2025, arXiv 2505.18116). mu is read as a mixture
    mu = p pi + (1 - p) pi-, with pi the policy of correct answers and pi- the policy of incorrect
    answers. NFT also maximises q_t = pi-/mu of the incorrect answers. The gradient passes through
    the max as if max(q_t, floor) were q_t. The prompt's weight 1 - p is the authors' default: one
    step at pi = mu then has Dr. GRPO's gradient with A = 1[correct] - p. `advantages_B` is this A.
    Groups with only correct or only incorrect samples have A = 0 and no loss. The authors' code
    also limits p to [0.02, 0.98].
    Fails: if rho_t > 1 on an incorrect answer, the push is p rho_t, which grows with pi.
    """
    log_ratio_C = logps_C - behaviour_logps_C
    advantages_C = advantages_B[sequence_of_C]
    is_wrong_C = advantages_C < 0
    # incorrect samples have A = -p; 0 for all others, so that their q is 1
    share_C = (-advantages_C).clamp_min(0)
    ratio_C = log_ratio_C.clamp(max=LARGEST_LOG_RATIO).exp()
    rest_C = (1 - share_C * ratio_C) / (1 - share_C)
    # the detached difference changes the value to the max and leaves q's gradient
    floored_C = rest_C + (rest_C.clamp_min(likelihood_floor) - rest_C).detach()
    gain_C = floored_C.log().where(is_wrong_C, log_ratio_C)
    weight_C = (1 + advantages_C).where(is_wrong_C, advantages_C)  # 1 - p, and 0 if A is 0
    return -sequence_sums(weight_C * gain_C, sequence_of_C, advantages_B)


def awr(advantages_B: Tensor, correct_B: Tensor, *, tau: float, weight_limit: float) -> Tensor:
    """c = min(exp(A / tau), weight_limit),  A = r - V.

    Advantage-weighted regression (AWR; Peng et al. 2019, arXiv 1910.00177, Algorithm 1; tau is the
    paper's beta), with the exponential clipped as in the authors' code. No sample is pushed down.
    If no weight is clipped, the optimum is pi proportional to mu exp(r / tau), and a baseline only
    scales the loss.
    Fails: pi finds no completion that mu never drew. Small tau keeps only the best samples, at the
    limit; large tau clones mu. The scale of the weights acts like a learning rate.

    Raises `ConfigError` unless tau > 0.
    """
    _require_positive(tau, name="awr")
    # clipped before exp, which could overflow
    return (advantages_B / tau).clamp_max(math.log(weight_limit)).exp()


def _require_positive(tau: float, *, name: str) -> None:
    if tau <= 0:
        raise ConfigError(
            f"algorithm.tau={tau} of {name} must be above 0; it divides the advantage"
        )
