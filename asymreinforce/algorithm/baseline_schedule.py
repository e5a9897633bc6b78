"""Schedules for a baseline that changes while an arm trains: by step, or by measured staleness.

The critical value of `baseline` is 0. The further pi is from mu, the smaller the margin below 0.
The paper's baselines are constant; both schedules are additions of this software.

t counts steps from 1; b_t is the baseline of step t, in V(x) = reference(x) + b_t.
"""


def linear_baseline(step: int, *, start: float, end: float, steps: int) -> float:
    """b_t = start + (end - start) min(1, (t - 1) / n),  n = `steps`: `end` from step n + 1 on."""
    return start + (end - start) * min(1.0, (step - 1) / steps)


def next_baseline(
    baseline: float, staleness: float, *, target: float, gain: float, lowest: float
) -> float:
    """b' = min(0, max(lowest, b - gain (s - target))): integral control at each measurement s.

    s is `staleness` in nats: -log E_mu[pi/mu] or KL(mu || pi). The baseline falls if s is above
    `target` and rises if s is below `target`, but never above 0.
    """
    # 0 is the critical value: above it the limit policy is a single completion (Thm. 4.2)
    return min(0.0, max(lowest, baseline - gain * (staleness - target)))


def staleness_of(measure: str, value: float) -> float:
    """Return a metric as a staleness, which grows as pi leaves mu."""
    # log E_mu[pi/mu] falls as pi leaves mu, KL(mu || pi) rises
    return -value if measure == "log_mean_weight" else value
