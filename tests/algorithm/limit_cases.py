"""The value of a support (`limit_policy.py`) by exact fractions, a kink at a time."""

import itertools
from fractions import Fraction


def naive_support(
    rewards: list[float], groups: list[int], completions: list[int], support: float
) -> list[float]:
    """Each completion's last value by exact fractions; then down from the mean to the support."""
    values = []
    for i in range(len(rewards)):
        group = [j for j, other in enumerate(groups) if other == groups[i]]
        arms: dict[int, list[Fraction]] = {}
        for j in group:
            arms.setdefault(completions[j], []).append(Fraction(rewards[j]))
        mu = {arm: Fraction(len(own), len(group)) for arm, own in arms.items()}
        r = {arm: sum(own, Fraction(0)) / len(own) for arm, own in arms.items()}
        last = {arm: last_value(mu, r, arm) for arm in arms}
        mass = Fraction(0)
        for arm in sorted(arms, key=lambda arm: -last[arm]):
            mass += mu[arm]
            if mass >= Fraction(support):
                values.append(float(last[arm]))
                break
    return values


def last_value(mu: dict[int, Fraction], r: dict[int, Fraction], arm: int) -> Fraction:
    """The root of d(V) - sum_y (a(y) - a(arm))_+, from one of its kinks to the next."""
    mean = sum((mu[y] * r[y] for y in mu), Fraction(0))

    def excess(value: Fraction) -> Fraction:
        a = {y: mu[y] * (r[y] - value) for y in mu}
        return mean - value - sum((max(a[y] - a[arm], Fraction(0)) for y in mu), Fraction(0))

    kinks = {(mu[y] * r[y] - mu[arm] * r[arm]) / (mu[y] - mu[arm]) for y in mu if mu[y] != mu[arm]}
    ends = sorted({mean, *(kink for kink in kinks if kink < mean)}, reverse=True)
    for high, low in itertools.pairwise([*ends, ends[-1] - 1]):
        at_high, at_low = excess(high), excess(low)
        if at_high == 0:
            return high
        if at_low > 0 or low == ends[-1] - 1:
            return high + at_high * (high - low) / (at_low - at_high)
    raise AssertionError("there is one root")
