"""Describe the question and the setting of each theory bench."""

from collections.abc import Mapping, Sequence
from typing import Any

from asymreinforce.report.bandit.axes import signed_offset
from asymreinforce.report.bandit.words import join_words

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
