"""How far the policy has moved from the behaviour policy, on a fixed slice of its rollouts.

Shapes: B sequences of the slice; all log-probabilities are of whole completions, in nats.
"""

import math
from typing import NamedTuple

from torch import Tensor


class Weights(NamedTuple):
    """The self-normalised importance weights w = pi(y|x) / mu(y|x), summed up."""

    effective_share: float
    """Effective sample size over B, in (0, 1]: (sum w)^2 / (B sum w^2)."""
    log_mean: float
    """log (1/B) sum w: near 0 while pi keeps its mass on the slice; very negative once it left."""
    largest_share: float
    """max w / sum w; 1/B where all are equal."""


def kl_divergence(behaviour_logps_B: Tensor, logps_B: Tensor) -> float:
    """KL(mu || pi) = E_{y ~ mu}[ log mu(y|x) - log pi(y|x) ], its sample mean.

    Unbiased where the slice was sampled from mu itself (temperature 1, top-p 1); exactly 0 while
    pi is mu.
    """
    return float((behaviour_logps_B - logps_B).mean())


def importance_weights(behaviour_logps_B: Tensor, logps_B: Tensor) -> Weights:
    """Sum up w = pi/mu. Read `effective_share` beside the other two: it is high as well when pi
    has left all samples evenly.
    """
    log_w_B = (logps_B - behaviour_logps_B).double()
    log_sum = log_w_B.logsumexp(0)
    share = (2 * log_sum - (2 * log_w_B).logsumexp(0)).exp() / len(log_w_B)
    log_mean = log_sum - math.log(len(log_w_B))
    return Weights(float(share), float(log_mean), float((log_w_B.max() - log_sum).exp()))
