"""Describe the setting of an experiment in a dozen lines, before its numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asymreinforce.report.groups import ArmGroup, signed_text
from asymreinforce.report.records import Experiment
from asymreinforce.report.words import count_words, words_of

# two objectives may differ in this setting alone
AGGREGATIONS = {
    "sequence_sum": "sequence_sum: log π(y|x) is the sum over a completion's tokens",
    "token_mean": "token_mean: all tokens of a step weigh the same",
    "sequence_mean": "sequence_mean: each completion's mean over its tokens",
}
"""How a step sums or averages over tokens, by `algorithm.aggregation`."""

MOST_VALUES = 12


class Fact(NamedTuple):
    """A line of the description: its name and its words."""

    name: str
    words: str


def describe_experiment(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Fact]:
    """Describe the experiment; a line is left out if its settings are not on disk."""
    values = experiment.shared
    facts = {
        "Arms": _arm_words(experiment, groups),
        "Objective": _objective_words(groups),
        "Token aggregation": _aggregation_words(experiment),
        "Baseline": _baseline_words(groups),
        "Baseline schedule": _schedule_words(values),
        "Task": _task_words(values),
        "Behaviour policy µ": str(values.get("policy.source", "")),
        "Rollouts": _rollout_words(values),
        "Rewards": _reward_words(values),
        "Optimizer": _optimizer_words(values),
        "Evaluation": _evaluation_words(values, experiment),
    }
    return [Fact(name, words) for name, words in facts.items() if words]


def _arm_words(experiment: Experiment, groups: Sequence[ArmGroup]) -> str:
    counts = {len(group.arms) for group in groups}
    seeds = f"{counts.pop()}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    varied = [
        name
        for name, values in (
            ("data order (seed)", {arm.seed for arm in experiment.arms}),
            ("behaviour policy (policy.seed)", {arm.policy_seed for arm in experiment.arms}),
            ("rollouts (sampling.seed)", {arm.sampling_seed for arm in experiment.arms}),
        )
        if len(values) > 1
    ]
    between = f"; between seeds varies: {', '.join(varied)}" if varied else ""
    arms, settings = count_words(len(experiment.arms), "arm"), count_words(len(groups), "setting")
    return f"{arms}: {settings}, seeds of each: {seeds}{between}"


def _objective_words(groups: Sequence[ArmGroup]) -> str:
    return ", ".join(dict.fromkeys(group.algorithm.replace("_", " ") for group in groups))


def _aggregation_words(experiment: Experiment) -> str:
    names = {str(arm.settings.get("algorithm.aggregation", "")) for arm in experiment.arms}
    return "; ".join(AGGREGATIONS.get(name, name) for name in sorted(names - {""}))


def _baseline_words(groups: Sequence[ArmGroup]) -> str:
    swept = [group for group in groups if group.baseline is not None]
    values = sorted({group.baseline for group in swept if group.baseline is not None})
    if not values:
        return ""
    listed = ", ".join(signed_text(value) for value in values)
    if len(values) > MOST_VALUES:
        listed = f"{len(values)} values from {signed_text(values[0])} to {signed_text(values[-1])}"
    references = dict.fromkeys(group.baseline_reference for group in swept)
    words = "; ".join(words_of(name).formula for name in references)
    return f"{listed}; {words}"


def _schedule_words(known: Mapping[str, Any]) -> str:
    """Describe the baseline schedule that all arms share; empty if arms differ in it."""
    schedule = known.get("baseline_schedule", "constant")
    if schedule == "linear" and {"baseline_start", "baseline_steps"} <= known.keys():
        start = signed_text(known["baseline_start"])
        return f"linear: from {start} to the baseline over {known['baseline_steps']} steps"
    if schedule == "staleness":
        words = "staleness: a controller starts at the baseline"
        values = [known.get(f"baseline_{name}") for name in ("gain", "measure", "target")]
        return (
            words if None in values else f"{words}, gain {values[0]} on {values[1]} at {values[2]}"
        )
    return "" if schedule == "constant" else str(schedule)


def _task_words(known: Mapping[str, Any]) -> str:
    family = known.get("task.family")
    name = f"{known['task.name']}: {family}" if family else known.get("task.name")
    splits = ("train", "validation", "held_out")
    counts = {f"task.{split}": f"{{:,}} {split.replace('_', '-')} prompts" for split in splits}
    return ", ".join([*([str(name)] if name else []), *_filled(known, counts)])


def _filled(known: Mapping[str, Any], texts: Mapping[str, str]) -> list[str]:
    """Fill each setting that is known into its text."""
    return [text.format(known[key]) for key, text in texts.items() if known.get(key) is not None]


def _rollout_words(known: Mapping[str, Any]) -> str:
    samples = known.get("sampling.samples_per_prompt")
    if samples is None:
        return ""
    return f"{samples} of each prompt, {_sampling_words(known, 'sampling')}"


def _reward_words(known: Mapping[str, Any]) -> str:
    correct, incorrect = known.get("reward.correct"), known.get("reward.incorrect")
    if correct is None or incorrect is None:
        return ""
    value = known.get("reward.value", "threshold")
    high, low = signed_text(correct), signed_text(incorrect)
    words = f"{value} of the score"
    if value == "threshold":
        words = f"{high} correct, {low} incorrect"
    elif value == "score":
        words = f"the score, mapped from 0 and 1 to {low} and {high}"
    return f"{words}{_graders_words(known)}{_overlong_words(known)}"


def _graders_words(known: Mapping[str, Any]) -> str:
    graders = known.get("reward.graders")
    if not graders:
        return ""
    if "reward.weights" not in known:
        return f"; summed over the graders {', '.join(graders)}; the weights differ between arms"
    weights = known["reward.weights"] or [1.0] * len(graders)
    terms = [f"{weight:g} {name}" for name, weight in zip(graders, weights, strict=False)]
    return f"; summed over graders: {' + '.join(terms)}"


def _overlong_words(known: Mapping[str, Any]) -> str:
    names = ("max_tokens", "cache_tokens")
    longest, cache = (known.get(f"reward.overlong.{name}") for name in names)
    if longest is None or cache is None:
        return ""
    weight = known.get("reward.overlong.weight", 1.0)
    lengths = f"{longest - cache} to {longest} tokens"
    return f"; minus a length penalty of up to {weight:g} from {lengths}"


def _optimizer_words(known: Mapping[str, Any]) -> str:
    if known.get("optim.lr") is None:
        return ""
    schedule, left = known.get("optim.schedule", "constant"), known.get("optim.final_lr_share")
    decay = (
        "" if schedule == "constant" or left is None else f", {schedule} decay to {left:g} of it"
    )
    texts = {
        "optim.lr": f"AdamW, learning rate {{:g}}{decay}",
        "optim.trajectories_per_step": "{} trajectories a step",
        "optim.steps": "{} steps",
    }
    return ", ".join(_filled(known, texts))


def _evaluation_words(known: Mapping[str, Any], experiment: Experiment) -> str:
    samples = known.get("evaluation.sampling.samples_per_prompt")
    if samples is None:
        return ""
    split = experiment.split.replace("_", "-")
    drawn = _sampling_words(known, "evaluation.sampling")
    return f"{split} prompts, {samples} samples of each, {drawn}"


def _sampling_words(known: Mapping[str, Any], prefix: str) -> str:
    texts = {
        "temperature": "temperature {}",
        "top_p": "top-p {}",
        "max_tokens": "at most {} tokens",
    }
    return ", ".join(_filled(known, {f"{prefix}.{name}": text for name, text in texts.items()}))
