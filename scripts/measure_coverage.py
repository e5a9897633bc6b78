"""Measure how often each interval covers the truth, on simulated sweeps with a known effect.

    .venv/bin/python scripts/measure_coverage.py   # tables of docs/results/coverage-of-intervals.md

All intervals are 95% intervals. The standard error of a coverage over 2,000 sweeps is 0.5 points.
"""

from collections.abc import Callable

import numpy as np

from asymreinforce.report.statistics.intervals import (
    Interval,
    between_runs,
    bootstrap,
    crossed,
    draws_variance,
    of_a_share,
    seeds_needed,
)
from scripts.paper.simulated import Simulated, World, simulate_sweeps

SWEEPS = 2000
DRAWS = 500
"""Bootstrap resamples; more would change the coverage by less than its standard error."""


def main() -> None:
    print(f"## Between arms: coverage in %, {SWEEPS} sweeps, 400 prompts of 2 samples\n")
    print("| seeds | sd between seeds | prompts differ by | t over runs: these prompts", end="")
    print(
        " | t over runs: all prompts | crossed: all prompts | two-level bootstrap: these prompts |"
    )
    print("| --- " * 7 + "|")
    for runs in (3, 5, 7):
        for deviation in (0.0, 0.03):
            for spread in (0.0, 0.1, 0.25):
                world = World(runs, between_runs=deviation, between_prompts=spread)
                print(line(world, f"{runs} | {100 * deviation:g} | ±{100 * spread:g}"))
    print("\n## Against mu: coverage in %, t over runs of one policy, prompts differ by ±10\n")
    print("| seeds | sd between seeds | mu's draws left out | mu's draws in the interval |")
    print("| --- " * 4 + "|")
    for runs in (3, 5, 7):
        for deviation in (0.0, 0.03):
            print(against_mu(World(runs, between_runs=deviation, one_mu=True)))
    print("\n## Between arms, where a run collapses with some chance: t over runs\n")
    print("| seeds | chance of collapse | coverage in % |\n| --- | --- | --- |")
    for runs in (3, 5, 7):
        for chance in (0.1, 0.3, 0.5):
            found = simulate_sweeps(World(runs, collapse=chance), sweeps=SWEEPS, seed=1)
            print(f"| {runs} | {chance:g} | {by_runs(found, found.on_these_prompts_W):.1f} |")
    print("\n## One policy, over prompts: coverage in %, 400 prompts of 2 samples\n")
    print(
        "| accuracy | Wilson with effective answers | bootstrap over prompts |\n| --- | --- | --- |"
    )
    for shape in ((0.02, 3.0), (0.3, 3.0), (1.0, 1.5), (9.0, 0.5), (50.0, 0.5)):
        print(one_policy(*shape))
    print("\n## Seeds of each arm that a difference needs, power 0.8\n")
    print("| sd of the difference between seeds, points | 1 point | 2 | 5 | 10 | 20 |")
    print("| --- " * 6 + "|")
    for deviation in (1, 2, 5, 10):
        needed = [str(seeds_needed(difference=d, deviation=deviation)) for d in (1, 2, 5, 10, 20)]
        print(f"| {deviation} | {' | '.join(needed)} |")


def line(world: World, label: str) -> str:
    found = simulate_sweeps(world, sweeps=SWEEPS, seed=0)
    everywhere_W = np.full(SWEEPS, found.on_all_prompts)
    over_both = covered(lambda d_NP: crossed(d_NP, varied=()), found.differences_WNP, everywhere_W)
    cells = (
        by_runs(found, found.on_these_prompts_W),
        by_runs(found, everywhere_W),
        over_both,
        two_level(found),
    )
    return f"| {label} | {' | '.join(f'{cell:.1f}' for cell in cells)} |"


def against_mu(world: World) -> str:
    found = simulate_sweeps(world, sweeps=SWEEPS, seed=4)
    runs_WN = found.differences_WNP.mean(-1)
    kept_P = np.full(world.prompts, world.samples)
    noise_W = np.array([draws_variance(right_NP[0], kept_P) for right_NP in found.base_right_WNP])
    held = [
        interval.low <= truth <= interval.high
        for runs_N, noise, truth in zip(runs_WN, noise_W, found.on_these_prompts_W, strict=True)
        for interval in [between_runs(runs_N, varied=(), common_variance=noise)]
    ]
    plain = by_runs(found, found.on_these_prompts_W)
    label = f"{world.runs} | {100 * world.between_runs:g}"
    return f"| {label} | {plain:.1f} | {100 * float(np.mean(held)):.1f} |"


def covered(
    interval: Callable[[np.ndarray], Interval], values_W: np.ndarray, truth_W: np.ndarray
) -> float:
    """Return the share, in %, of sweeps whose interval holds the truth."""
    intervals = [interval(values) for values in values_W]
    held = [i.low <= truth <= i.high for i, truth in zip(intervals, truth_W, strict=True)]
    return 100 * float(np.mean(held))


def by_runs(found: Simulated, truth_W: np.ndarray) -> float:
    runs_WN = found.differences_WNP.mean(-1)
    return covered(lambda d_N: between_runs(d_N, varied=()), runs_WN, truth_W)


def two_level(found: Simulated) -> float:
    """Resample runs, then prompts: a common replacement of t intervals that covers too little."""
    generator = np.random.default_rng(2)

    def held(differences_NP: np.ndarray, truth: float) -> bool:
        runs, prompts = differences_NP.shape
        # the mean over resampled prompts varies by its own error around each resampled run's mean
        picks = generator.integers(runs, size=(DRAWS, runs))
        means_N = differences_NP.mean(1)
        error_N = differences_NP.std(1) / np.sqrt(prompts)
        noise = generator.normal(size=(DRAWS, runs)) * error_N[picks]
        low, high = np.quantile((means_N[picks] + noise).mean(1), [0.025, 0.975])
        return bool(low <= truth <= high)

    pairs = zip(found.differences_WNP, found.on_these_prompts_W, strict=True)
    return 100 * float(np.mean([held(*pair) for pair in pairs]))


def one_policy(a: float, b: float, *, prompts: int = 400, samples: int = 2) -> str:
    """Return the coverage for one policy whose prompts are right with Beta(a, b) probabilities."""
    generator = np.random.default_rng(3)
    chance_WP = generator.beta(a, b, (SWEEPS, prompts))
    right_WP = generator.binomial(samples, chance_WP) / samples
    truth = a / (a + b)
    truth_W = np.full(SWEEPS, truth)
    wilson = covered(lambda right_P: of_a_share(right_P, samples=samples), right_WP, truth_W)
    resampled = covered(lambda x_P: bootstrap(x_P, seed=0, resamples=DRAWS), right_WP, truth_W)
    return f"| {100 * truth:.1f}% | {wilson:.1f} | {resampled:.1f} |"


if __name__ == "__main__":
    main()
