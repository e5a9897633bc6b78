"""A baseline that changes while an arm trains: by step, or with measured staleness.

The critical value of `baseline` is 0, and the further pi is from mu, the less room there is below
it. Both schedules are of this software, not of the paper, whose baselines are constant.

t counts steps from 1; b_t is the baseline of step t, in V(x) = reference(x) + b_t.
"""


def linear_baseline(step: int, *, start: float, end: float, steps: int) -> float:
    """b_t = start + (end - start) min(1, (t - 1) / n),  n = `steps`: `end` from step n + 1 on."""
    return start + (end - start) * min(1.0, (step - 1) / steps)


def next_baseline(
    baseline: float, staleness: float, *, target: float, gain: float, lowest: float
) -> float:
    """b' = min(0, max(lowest, b - gain (s - target))): integral control at each measurement s.

    `staleness` is in nats, -log E_mu[pi/mu] or KL(mu || pi): above `target` the baseline falls,
    below it the baseline rises, and never beyond 0.
    """
    return min(0.0, max(lowest, baseline - gain * (staleness - target)))


def staleness_of(measure: str, value: float) -> float:
    """Return a metric as staleness: the log of the mean weight falls as pi leaves mu."""
    return -value if measure == "log_mean_weight" else value
