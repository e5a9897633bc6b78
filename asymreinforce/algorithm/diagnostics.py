"""How far the policy pi has moved from the behaviour policy mu, on a fixed set of mu's rollouts.

Shapes: B sequences of the diagnostic set; log-probabilities are of whole completions, in nats.
"""

import math
from typing import NamedTuple

from torch import Tensor


class Weights(NamedTuple):
    """Summary of the self-normalised importance weights w = pi(y|x) / mu(y|x)."""

    effective_share: float
    """Effective sample size over B, in (0, 1]: (sum w)^2 / (B sum w^2)."""
    log_mean: float
    """log (1/B) sum w: near 0 while pi keeps its mass on the set, very negative once pi left."""
    largest_share: float
    """max w / sum w; 1/B if all weights are equal."""


def kl_divergence(behaviour_logps_B: Tensor, logps_B: Tensor) -> float:
    """KL(mu || pi) = E_{y ~ mu}[ log mu(y|x) - log pi(y|x) ], estimated by the mean over B.

    The estimate is unbiased if the set was sampled from mu itself (temperature 1, top-p 1), and
    exactly 0 while pi is mu.
    """
    return float((behaviour_logps_B - logps_B).mean())


def importance_weights(behaviour_logps_B: Tensor, logps_B: Tensor) -> Weights:
    """Return the effective sample size, mean and largest share of w = pi/mu.

    Read `effective_share` with the other two: it is also high after pi has left all samples evenly.
    """
    # in logs and fp64: pi/mu of a whole completion may underflow to 0
    log_w_B = (logps_B - behaviour_logps_B).double()
    log_sum = log_w_B.logsumexp(0)
    share = (2 * log_sum - (2 * log_w_B).logsumexp(0)).exp() / len(log_w_B)
    log_mean = log_sum - math.log(len(log_w_B))
    return Weights(float(share), float(log_mean), float((log_w_B.max() - log_sum).exp()))
