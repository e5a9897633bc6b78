"""Sweeps with a known effect, to measure how often an interval holds.

    y_{n,p} ~ Binomial(k, b_p + v_n) / k                         the arm compared with
    y'_{n,p} ~ Binomial(k, b_p + effect + h_p + v'_n) / k        the arm

b_p is a prompt's difficulty, h_p how much more the arm gains on it than elsewhere, v_n a run's
luck, which mu has none of: mu is evaluated once, and its y_p serves all runs. Prompts are shared by
runs and arms, as in a sweep. Means of v and h are 0 in all that could be drawn; over the P prompts
that were drawn, h has a mean of its own.

Shapes: W sweeps, N runs, P prompts.
"""

from typing import NamedTuple

import numpy as np


class World(NamedTuple):
    """What a sweep is drawn from; all but counts are shares of 1."""

    runs: int
    prompts: int = 400
    samples: int = 2
    effect: float = 0.05
    between_runs: float = 0.03
    """Standard deviation of an arm's accuracy between its runs."""
    between_prompts: float = 0.1
    """Half the range of h."""
    collapse: float = 0.0
    """Chance that a run of the arm loses 30 points: its distribution then has two heaps."""
    one_mu: bool = False
    """Whether what is compared with is one policy, mu, evaluated once for all runs."""


COLLAPSE = 0.3


class Simulated(NamedTuple):
    """Differences of paired answers, and what the intervals are to hold."""

    differences_WNP: np.ndarray
    on_these_prompts_W: np.ndarray
    on_all_prompts: float
    base_right_WNP: np.ndarray
    """Right answers of k of what is compared with; N is 1 for one mu."""


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
    """Draw Binomial(k, chance) for a small k: as k comparisons, ten times faster than numpy's."""
    chance = chance.astype(np.float32)
    right = np.zeros(chance.shape, np.int8)
    for _ in range(k):
        right += generator.random(chance.shape, dtype=np.float32) < chance
    return right
