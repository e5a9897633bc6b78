"""Further objectives: GSPO, DRO, VESPO and NFT (ratio), AWR (linear).

    rho_t = pi(y_t|x, y_<t) / mu(y_t|x, y_<t)     of a token
    rho   = prod_t rho_t = pi(y|x) / mu(y|x)      of a sequence

Ratio objectives have the arguments of those in `ratio.py` and its shapes: B sequences, C completion
tokens laid end to end, losses of shape B, to be minimised. `awr` has those of `linear.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asymreinforce.algorithm.ratio import sequence_sums
from asymreinforce.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_LOG_RATIO = 10.0
"""Of NFT's authors' code (github.com/NVlabs/NFT): e^10 in place of larger ratios of a token."""


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
    Sec. 3.4): a weight of a gamma density's shape, 1 at rho = 1 and 0 far from it on both sides,
    with a power k (the paper's c1) and a decay l (c2) for A >= 0 and others for A < 0; A = (r -
    mean r)/std.
    Fails: the peak is at rho = k/l, so that positives fade before pi has reached mu's share of
    them; rho of long completions is soon so far from 1 that few samples teach.
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

    Negative-aware fine-tuning (NFT; Chen et al. 2025, arXiv 2505.18116): pi is the policy of the
    correct answers, and what it leaves of mu = p pi + (1 - p) pi- is that of the wrong ones, whose
    likelihood ratio q_t is maximised too. Gradient flows through the max as if it were q_t. The
    prompt's weight is 1 - p, the authors' default, under which one step at pi = mu has Dr. GRPO's
    gradient with A = 1[correct] - p, which is the A that comes in. Groups without right or without
    wrong samples have A = 0 and no loss. The authors' code also bounds p to [0.02, 0.98].
    Fails: where rho_t > 1 on a wrong answer the push is p rho_t, which grows with pi.
    """
    log_ratio_C = logps_C - behaviour_logps_C
    advantages_C = advantages_B[sequence_of_C]
    is_wrong_C = advantages_C < 0
    # p of wrong samples; 0 for others, which leaves q = 1
    share_C = (-advantages_C).clamp_min(0)
    ratio_C = log_ratio_C.clamp(max=LARGEST_LOG_RATIO).exp()
    rest_C = (1 - share_C * ratio_C) / (1 - share_C)
    floored_C = rest_C + (rest_C.clamp_min(likelihood_floor) - rest_C).detach()
    gain_C = floored_C.log().where(is_wrong_C, log_ratio_C)
    weight_C = (1 + advantages_C).where(is_wrong_C, advantages_C)  # 1 - p, and 0 where A is 0
    return -sequence_sums(weight_C * gain_C, sequence_of_C, advantages_B)


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
