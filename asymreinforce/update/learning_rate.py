"""The learning rate of each step, as a share of `optim.lr`.

t counts steps from 1. S is the number of steps of an arm over all rounds, W the number of warm-up
steps, W' = max(W, 1), f the share at the last step:

    warm-up    t / W                                    while t < W
    constant   1
    linear     1 - (1 - f) p                            p = (t - W') / (S - W'), at most 1
    cosine     f + (1 - f) (1 + cos(pi p)) / 2          (Loshchilov and Hutter 2017, Eq. 5)

The first step after the warm-up has share 1, the last step has share f.
"""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asymreinforce.config import OptimConfig


def learning_rate_share(step: int, config: "OptimConfig", *, steps: int) -> float:
    """Return the learning rate of `step`, counted from 1, as a share of `optim.lr`."""
    warm = min(1.0, step / max(1, config.warmup_steps))
    if config.schedule == "constant" or warm < 1:
        return warm
    start = max(1, config.warmup_steps)
    passed = min(1.0, (step - start) / (steps - start)) if steps > start else 0.0
    left = 1 - passed if config.schedule == "linear" else (1 + math.cos(math.pi * passed)) / 2
    return config.final_lr_share + (1 - config.final_lr_share) * left
