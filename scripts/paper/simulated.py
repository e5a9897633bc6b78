"""Simulate sweeps with a known effect, to measure how often an interval holds the truth.

    y_{n,p} ~ Binomial(k, b_p + v_n) / k                         the arm compared with
    y'_{n,p} ~ Binomial(k, b_p + effect + h_p + v'_n) / k        the arm

b_p is the difficulty of a prompt, h_p the extra gain of the arm on this prompt, v_n the luck of a
run. mu has no luck: it is evaluated once, and all runs share its y_p. Runs and arms share prompts,
as in a sweep. The expected v and h are 0, but over the P drawn prompts the mean of h is not.

Shapes: W sweeps, N runs, P prompts.
"""

from typing import NamedTuple

import numpy as np


class World(NamedTuple):
    """The distribution of a sweep; all numbers but counts are shares of 1."""

    runs: int
    prompts: int = 400
    samples: int = 2
    effect: float = 0.05
    between_runs: float = 0.03
    """Standard deviation of an arm's accuracy between its runs."""
    between_prompts: float = 0.1
    """Half of the range of h."""
    collapse: float = 0.0
    """Probability that a run of the arm loses 30 points, which makes two modes."""
    one_mu: bool = False
    """Whether the arm is compared with one policy, mu, evaluated once for all runs."""


COLLAPSE = 0.3


class Simulated(NamedTuple):
    """Differences of paired answers, and the truth that intervals should hold."""

    differences_WNP: np.ndarray
    on_these_prompts_W: np.ndarray
    on_all_prompts: float
    base_right_WNP: np.ndarray
    """Right answers, out of k, of the arm compared with; N is 1 for one mu."""


def simulate_sweeps(world: World, *, sweeps: int, seed: int) -> Simulated:
    """Draw sweeps of two arms."""
    generator = np.random.default_rng(seed)
    runs, prompts, k = world.runs, world.prompts, world.samples
    difficulty = generator.uniform(0.35, 0.6, (sweeps, 1, prompts))
    gain = generator.uniform(-1, 1, (sweeps, 1, prompts)) * world.between_prompts
    luck = generator.normal(0, world.between_runs, (2, sweeps, runs, 1))
    collapsed = generator.random((sweeps, runs, 1)) < world.collapse
    base = np.clip(difficulty if world.one_mu else difficulty + luck[0], 0, 1)
    raised = np.clip(difficulty + world.effect + gain + luck[1] - COLLAPSE * collapsed, 0, 1)
    answers = [_draw_binomial(generator, k, chance) for chance in (raised, base)]
    differences = (answers[0] - answers[1]) / k
    expected = world.effect - COLLAPSE * world.collapse
    return Simulated(differences, expected + gain[:, 0].mean(-1), expected, answers[1])


def _draw_binomial(generator: np.random.Generator, k: int, chance: np.ndarray) -> np.ndarray:
    """Draw Binomial(k, chance) for a small k by k comparisons, ten times faster than numpy."""
    chance = chance.astype(np.float32)
    right = np.zeros(chance.shape, np.int8)
    for _ in range(k):
        right += generator.random(chance.shape, dtype=np.float32) < chance
    return right
