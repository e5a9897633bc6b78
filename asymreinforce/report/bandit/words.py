"""The question and the setting of each theory bench in words, and the parts of its sentences."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from asymreinforce.report.bandit.axes import signed_offset
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


def power_text(value: float) -> str:
    """Write a small number with an exponent: '1.5e−4'."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def join_words(items: Iterable[object]) -> str:
    """Join words: 'a, b and c'."""
    *most, last = map(str, items)
    return f"{', '.join(most)} and {last}" if most else last


TITLES = {
    "section_5_1": "Where gradient ascent ends (Section 5.1, Figs. 1 and 7)",
    "policy_improvement": "Policy improvement (Fig. 2)",
    "phase_diagram": "Phase diagram: V against steps an iteration",
    "stale_mu": "How stale may µ be",
    "sampled_groups": "Sampled updates with group means",
    "rival_updates": "Importance-weighted and clipped updates beside AsymRE",
}
"""The titles of the benches, in the order of the page."""

QUESTIONS = {
    "section_5_1": "If π learns from the rewards of a frozen µ, with which reward, which arms and "
    "which entropy does each V end, and does Theorem 4.2's closed form predict the end?",
    "policy_improvement": "If µ ← π is repeated at a constant V, up to which V does the policy "
    "find the best arm?",
    "phase_diagram": "At a constant V, how does the transition at V^µ depend on the number of "
    "gradient steps between two refreshes of µ?",
    "stale_mu": "If V follows V^µ as the group mean does, how often must µ be refreshed at each "
    "offset, for the same number of gradient steps?",
    "sampled_groups": "With means of G sampled arms in place of the exact V^µ, at which baseline "
    "is the transition, and how large is the noise?",
    "rival_updates": "On the same bandit, does AsymRE learn faster or end higher than updates with "
    "importance weights?",
}

VALUES = {
    "zero": "constant V",
    "initial_mean": "constant V − V^µ at the start",
    "behaviour_mean": "V − V^µ, V following V^µ",
    "group_mean": "baseline on the group mean",
}


def describe_bench(settings: Mapping[str, Any]) -> str:
    """Describe the setting of a bench in one sentence, from the settings of its identity."""
    baselines = settings["baseline"]
    is_constant = settings["baseline_reference"] == "zero"
    ends = [f"{v:g}" if is_constant else signed_offset(v) for v in (min(baselines), max(baselines))]
    spread = ends[0] if len(baselines) == 1 else f"{len(baselines)} values, {ends[0]} to {ends[1]}"
    seeds = settings["seed"]
    given = settings["rewards"] is not None
    parts = [
        f"{settings['arms']} arms, µ = softmax(y/{settings['logit_scale']:g})",
        "given rewards" if given else _seed_words(seeds),
        f"{VALUES[settings['baseline_reference']]}: {spread}",
        f"learning rate {join_words(f'{lr:g}' for lr in settings['lr'])}",
        _length_words(settings),
        _expectation_words(settings["samples"]),
    ]
    if settings["group_size"]:
        parts.append(f"G = {join_words(settings['group_size'])}")
    return "; ".join(parts) + "."


def _seed_words(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"rewards drawn from U[0, 1] by seed {seeds[0]}"
    return f"{len(seeds)} draws of the rewards from U[0, 1], the first by seed {seeds[0]}"


def _length_words(settings: Mapping[str, Any]) -> str:
    steps = join_words(f"{count:,}" for count in settings["steps"])
    if settings["total_steps"]:
        return f"{settings['total_steps']:,} gradient steps, µ refreshed every {steps}"
    if settings["iterations"] == 1:
        return f"{steps} gradient steps from π = µ"
    return f"{settings['iterations']} iterations of {steps} gradient steps, µ ← π after each"


def _expectation_words(samples: Sequence[int]) -> str:
    kinds = ["exact updates" if n == 0 else f"{n} sampled arms a step" for n in samples]
    return " and ".join(kinds)
