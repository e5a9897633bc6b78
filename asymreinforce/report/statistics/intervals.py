"""95% confidence intervals, each with what varied between its values and what it holds for.

| interval       | from                               | holds for                             |
| -------------- | ---------------------------------- | ------------------------------------- |
| `between_runs` | a number per run (arm or pair)     | further runs, these evaluation prompts|
| `crossed`      | a number per run and prompt        | further runs, other prompts as well   |
| `of_a_share`   | a prompt's share of right answers  | this one policy, other prompts        |
| `bootstrap`    | any number per prompt              | this one policy, other prompts        |

No interval is valid if some runs collapse and others do not, since three runs of one kind say
nothing about the other kind. `scripts/measure_coverage.py` measures how often each interval covers
the truth; docs/results/coverage-of-intervals.md
has a table.

Before the runs are made, `power` tells how many seeds detect a difference:

    power(N) = P(|T| > t_{N-1, 1-alpha/2}),   T noncentral t with N-1 degrees, delta = d sqrt(N) / s

d is the difference to detect and s the standard deviation, over seeds, of the paired difference of
two arms, both in the same unit (Cohen 1988, ch. 2).

Shapes: N runs, P prompts.
"""

import bisect
import math
from typing import NamedTuple

import numpy as np

from asymreinforce.errors import InputError

ENDS = (0.025, 0.975)
"""The shares of a distribution below the two ends of an interval."""
RESAMPLES = 10_000
POWER = 0.8
MOST_SEEDS = 10_000
GRID = 1024
"""Differences are searched in steps of this part of the deviation."""
PROMPTS = "evaluation prompts"
"""What varied, for an interval that holds for other prompts."""
BEHAVIOUR_DRAWS = "draws of µ's evaluation"
"""What varies beside the runs if one evaluation of mu is subtracted from all runs."""


class Interval(NamedTuple):
    """An estimate with its confidence interval, in the unit of the values."""

    estimate: float
    low: float
    high: float
    replicates: int
    """The number of runs or prompts that the interval is made from."""
    df: float
    """Degrees of freedom of the t distribution; infinite if none was used."""
    varied: tuple[str, ...]
    """What differed between the replicates; the interval covers no other variation."""


def between_runs(
    values_N: np.ndarray, *, varied: tuple[str, ...], common_variance: float = 0.0
) -> Interval:
    """mean +- t_df sqrt(s^2/N + c) of one number per run, or of paired differences (Student 1908).

    Arms of a sweep share prompts, rollouts, data order and evaluation prompts, so the caller takes
    the difference of two arms with the same seeds, and passes the differences.

    c = `common_variance` is the variance of an estimate that all runs share, such as the evaluation
    of mu that is subtracted from each: the spread between runs does not show this variance. If c is
    0, df = N - 1; else df = (m + c)^2 (N-1) / m^2, after Satterthwaite (1946), where m is s^2/N
    with the margin of `_with_margin`. Raises `InputError` for fewer than two runs.
    """
    count = len(values_N)
    if count < 2:
        raise InputError(f"{count} run has no interval between runs; add seeds, such as seed=0,1,2")
    of_runs = float(np.var(values_N, ddof=1)) / count
    df = count - 1.0
    if common_variance and of_runs:
        df *= (1 + common_variance / _with_margin(of_runs, count)) ** 2
    words = (*varied, BEHAVIOUR_DRAWS) if common_variance else varied
    error = math.sqrt(of_runs + common_variance)
    return _student_interval(float(np.mean(values_N)), error, count, df, words)


def draws_variance(right_P: np.ndarray, kept_P: np.ndarray) -> float:
    """Return the variance of an accuracy on these prompts, over draws of its samples.

    sum_p p_p (1 - p_p) / (k_p - 1) / P^2, unbiased for k_p samples of a prompt of which a share p_p
    is right. A prompt with one sample shows no spread; p (1 - p) of the whole accuracy replaces its
    term, which is at least as large on average. Prompts without a judged sample are left out.
    """
    judged_P = kept_P > 0
    right_P, kept_P = right_P[judged_P], kept_P[judged_P]
    share_P = right_P / kept_P
    overall = float(share_P.mean()) * (1 - float(share_P.mean()))
    own_P = share_P * (1 - share_P) / np.maximum(kept_P - 1, 1)
    return float(np.where(kept_P > 1, own_P, overall).sum()) / len(kept_P) ** 2


def crossed(values_NP: np.ndarray, *, varied: tuple[str, ...]) -> Interval:
    """Return an interval for further runs and other prompts, if every run answered every prompt.

    With runs and prompts crossed and both random, the variance of the grand mean is

        V = s^2(run means)/N + max(0, s^2(prompt means)/P - s^2(residual)/(N P))

    (Cornfield and Tukey 1956), with Satterthwaite's degrees of freedom, in which the variance of
    runs has the margin of `_with_margin`, and at least N - 1 degrees. Hillis (2007) uses the same
    design for readers and cases. Raises `InputError` for fewer than two runs or prompts.
    """
    runs, prompts = values_NP.shape
    if runs < 2 or prompts < 2:
        raise InputError(
            f"{runs} runs on {prompts} prompts: an interval over both needs two of each"
        )
    mean = float(values_NP.mean())
    run_N, prompt_P = values_NP.mean(1), values_NP.mean(0)
    residual_NP = values_NP - run_N[:, None] - prompt_P[None, :] + mean
    df_residual = (runs - 1) * (prompts - 1)
    of_runs = float(run_N.var(ddof=1)) / runs
    of_prompts = float(prompt_P.var(ddof=1)) / prompts
    of_rest = float((residual_NP**2).sum()) / df_residual / (runs * prompts)
    # an estimated component of variance can be negative, a variance cannot
    beside_runs = max(0.0, of_prompts - of_rest)
    variance, margin = of_runs + beside_runs, _with_margin(of_runs, runs)
    spread = margin**2 / (runs - 1) + of_prompts**2 / (prompts - 1) + of_rest**2 / df_residual
    # with three runs the components are too noisy to take fewer than N - 1 degrees
    df = max(runs - 1.0, (margin + beside_runs) ** 2 / spread if spread else 0.0)
    return _student_interval(mean, math.sqrt(variance), runs, df, (*varied, PROMPTS))


def of_a_share(right_P: np.ndarray, *, samples: int) -> Interval:
    """Wilson's interval for the accuracy of one policy, with correlated samples of a prompt.

    `right_P` holds each prompt's share of right answers among k = `samples`. n = P k / deff
    effective answers, with deff = Var(mean) / (p(1-p)/(P k)) in [1, k] (Kish 1965), go into Wilson
    (1927). Near 0 and 1 a bootstrap over prompts is too narrow (87% for 95% at an accuracy of
    0.7%): if all answers are wrong, the bootstrap interval has no width.
    """
    prompts, p = len(right_P), float(right_P.mean())
    answers = prompts * samples
    plain = p * (1 - p) / answers
    variance = float(right_P.var(ddof=1)) / prompts if prompts > 1 else plain
    effective = answers / min(max(variance / plain, 1.0), samples) if plain else float(prompts)
    z = t_edge(math.inf)
    scale = 1 + z**2 / effective
    middle = (p + z**2 / (2 * effective)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / effective + z**2 / (4 * effective**2))
    return Interval(p, middle - half, middle + half, prompts, math.inf, (PROMPTS,))


def bootstrap(values_P: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Resample prompts with replacement and take the percentiles of the mean (Efron 1979).

    `values_P` holds one number per prompt for one policy, or the difference of two policies. The
    interval does not cover another training run. `seed` draws the resamples.
    """
    # few distinct values: multinomial counts of them are far fewer numbers than drawn prompts
    distinct, counts = np.unique(values_P, return_counts=True)
    prompts = len(values_P)
    drawn = np.random.default_rng(seed).multinomial(prompts, counts / prompts, size=resamples)
    low, high = (float(end) for end in np.quantile(drawn @ distinct / prompts, ENDS))
    return Interval(float(values_P.mean()), low, high, prompts, math.inf, (PROMPTS,))


def p_of_interval(interval: Interval) -> float:
    """Return the two-sided p of "the mean is 0" by the t distribution of the interval.

    If the interval has no width, p is 1 for an estimate of 0, and 0 for any other estimate.
    """
    from scipy.special import stdtr

    error = (interval.high - interval.low) / 2 / t_edge(interval.df)
    if error == 0:
        return float(interval.estimate == 0)
    return float(2 * stdtr(interval.df, -abs(interval.estimate) / error))


def t_edge(df: float) -> float:
    """Return t_{df, 0.975}, the half width of an interval in standard errors (df up to inf)."""
    # scipy.special, since scipy.stats takes a second to import
    from scipy.special import stdtrit

    return float(stdtrit(df, ENDS[1]))


def _student_interval(
    estimate: float, error: float, replicates: int, df: float, varied: tuple[str, ...]
) -> Interval:
    half = t_edge(df) * error
    return Interval(estimate, estimate - half, estimate + half, replicates, df, varied)


def _with_margin(of_runs: float, runs: int) -> float:
    """Return the variance of a mean of N runs times (N+1)/(N-1), for degrees of freedom only.

    The spread of few runs is sometimes small by chance, and Satterthwaite's formula then gives too
    many degrees of freedom: intervals of three runs cover 92% instead of 95%. With this factor,
    intervals of 3, 5 and 7 runs cover 94 to 96% (`scripts/measure_coverage.py`).
    """
    return of_runs * (runs + 1) / (runs - 1)


def power(*, difference: float, deviation: float, seeds: int) -> float:
    """Return the probability that an interval over `seeds` pairs excludes 0."""
    from scipy.special import nctdtr

    if seeds < 2 or deviation <= 0:
        raise InputError("power needs at least two seeds, and a deviation above 0 between them")
    edge = t_edge(seeds - 1)
    shift = abs(difference) * math.sqrt(seeds) / deviation
    # scipy gives NaN if a tail is too small to compute
    above, below = (nctdtr(seeds - 1, shift, end) for end in (edge, -edge))
    return float(1 - np.nan_to_num(above) + np.nan_to_num(below))


def seeds_needed(*, difference: float, deviation: float) -> int:
    """Return the fewest seeds of each arm that detect `difference` with the power `POWER`.

    Raises `InputError` if more than 10,000 seeds are needed.
    """
    counts = range(2, MOST_SEEDS + 1)
    place = bisect.bisect_left(
        counts, POWER, key=lambda n: power(difference=difference, deviation=deviation, seeds=n)
    )
    if place == len(counts):
        raise InputError(
            f"a difference of {difference:g} at a deviation of {deviation:g} between seeds "
            f"needs more than {MOST_SEEDS} seeds; choose a larger difference"
        )
    return counts[place]


def smallest_difference(*, deviation: float, seeds: int) -> float:
    """Return the smallest difference that `seeds` pairs detect with the power `POWER`.

    The result is exact to a thousandth of `deviation`.
    """
    unit = deviation / GRID
    steps = range(1, GRID**2)
    return (
        unit
        * steps[
            bisect.bisect_left(
                steps,
                POWER,
                key=lambda k: power(difference=k * unit, deviation=deviation, seeds=seeds),
            )
        ]
    )
