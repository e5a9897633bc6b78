"""Verdicts and words for the sentences on a theory bench."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from asymreinforce.report.bandit.bench import Row

AGREES, DIFFERS, BEYOND = "as in the paper", "differs in detail", "beyond the paper"

SINGLE = 0.99
"""A policy counts as a single arm if that arm's probability is above this."""


class Finding(NamedTuple):
    """A sentence, and a verdict that says whether the paper agrees."""

    verdict: str
    text: str


def below_critical(chains: Iterable[Row]) -> list[Row]:
    """Return the chains with V < V^mu, in order of V - V^mu."""
    return sorted((chain for chain in chains if chain["offset"] < 0), key=offset_of)


def offset_of(chain: Row) -> float:
    """Return V - V^mu of a chain."""
    return float(chain["offset"])


def final_reward(chain: Row) -> float:
    """Return the final reward of a chain."""
    return float(chain["reward"])


def reward_share(chain: Row) -> float:
    """Return the final reward of a chain as a share of the best arm's."""
    return float(chain["reward"] / chain["best_reward"])


def width_of(values: Iterable[float]) -> float:
    """Return the largest minus the smallest value."""
    numbers = list(values)
    return max(numbers) - min(numbers)


def range_text(values: Iterable[float]) -> str:
    """Write the smallest and the largest value: "0.120 to 0.350", or "0.120" if they are equal."""
    low, *_, high = (f"{value:.3f}" for value in sorted(2 * list(values)))
    return low if low == high else f"{low} to {high}"


def compare_with_paper(agrees: bool, text: str) -> Finding:
    """Return a finding with the verdict that the paper agrees, or differs."""
    return Finding(AGREES if agrees else DIFFERS, text)


def count_of(count: int, chains: Sequence[Row]) -> str:
    """Write a count of chains: '3 of 5 chains', 'all 5 chains', 'the chain'."""
    if count == len(chains):
        return f"all {count} chains" if count != 1 else "the chain"
    return f"{count} of {len(chains)} chains"


def count_arms(count: int) -> str:
    """Write a count of arms: '1 arm', '3 arms'."""
    return f"{count} arm" if count == 1 else f"{count} arms"


def power_text(value: float) -> str:
    """Write a small number with an exponent: '1.5e−4'."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def join_words(items: Iterable[object]) -> str:
    """Join words: 'a, b and c'."""
    *most, last = map(str, items)
    return f"{', '.join(most)} and {last}" if most else last
