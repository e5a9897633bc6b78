"""Values for settings that are null, derived from other settings before any check.

seed, policy.seed, sampling.seed   replicate
sampling.max_tokens              task.completion_tokens, at most half of policy.context
evaluation.sampling.max_tokens   sampling.max_tokens
evaluation.suites                none
evaluation.suites.NAME.sampling  evaluation.sampling; max_tokens by the suite's own task
train.validation_prompts         number of validation questions, at most MOST_VALIDATION
sampling.samples_per_block       also if given: lowered to a divisor of samples_per_prompt
"""

import math
from collections.abc import Mapping
from typing import Any

MOST_SAMPLES = 1_000_000
"""Most samples of a prompt: more than any use, but few enough that a typing error still ends."""
MOST_VALIDATION = 100
"""More questions hardly improve the choice of a checkpoint, and cost as much as training."""


def filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return raw settings with values for those that are null; other settings do not change.

    If the value cannot be derived because another setting is wrong, the setting's check reports it.
    """
    result = {key: dict(v) if isinstance(v, Mapping) else v for key, v in values.items()}
    parts = [result.get(name) for name in ("task", "policy", "source", "sampling", "train")]
    task, policy, source, sampling, train = (p if isinstance(p, dict) else {} for p in parts)
    for seeded in (result, policy, sampling):
        if "replicate" in result and seeded.get("seed") is None:
            seeded["seed"] = result["replicate"]
    if sampling.get("max_tokens", "given") is None:
        sampling["max_tokens"] = _completion_tokens(task, policy)
    evaluation = result.get("evaluation")
    if isinstance(evaluation, dict) and isinstance(evaluation.get("sampling"), Mapping):
        evaluation["sampling"] = dict(evaluation["sampling"])
        if evaluation["sampling"].get("max_tokens", "given") is None:
            evaluation["sampling"]["max_tokens"] = sampling.get("max_tokens")
        suites = evaluation.get("suites", {})
        if isinstance(suites, Mapping | None):
            evaluation["suites"] = {
                name: _filled_suite(suite, evaluation["sampling"], policy)
                for name, suite in (suites or {}).items()
            }
    if train.get("validation_prompts", "given") is None:
        train["validation_prompts"] = _validation_prompts(task, source)
    samples, block = sampling.get("samples_per_prompt"), sampling.get("samples_per_block")
    # other values are wrong, and their own checks report them
    if type(samples) is int and type(block) is int and samples > 0 < block <= MOST_SAMPLES:
        sampling["samples_per_block"] = math.gcd(samples, block)
    return result


def _filled_suite(suite: Any, sampling: Mapping[str, Any], policy: Mapping[str, Any]) -> Any:
    """Return a suite in which missing sampling settings are the evaluation's."""
    own = suite.get("sampling", {}) if isinstance(suite, Mapping) else None
    if not isinstance(own, Mapping | None) or not isinstance(suite, Mapping):
        return suite
    drawn = {**sampling, "max_tokens": None, **(own or {})}
    if drawn["max_tokens"] is None:
        task = suite.get("task")
        drawn["max_tokens"] = _completion_tokens(task if isinstance(task, Mapping) else {}, policy)
    return {**suite, "sampling": drawn}


def _completion_tokens(task: Mapping[str, Any], policy: Mapping[str, Any]) -> Any:
    tokens, context = task.get("completion_tokens"), policy.get("context")
    if type(tokens) is not int or type(context) is not int:
        return tokens
    # at most half of the context, so that a prompt fits
    return max(1, min(tokens, context // 2))


def _validation_prompts(task: Mapping[str, Any], source: Mapping[str, Any]) -> int:
    """Return the number of validation questions: imported questions, or the task's own."""
    own = task.get("validation")
    own = MOST_VALIDATION if own is None else own  # null: all there are
    kept = source.get("validation") if source.get("path") is not None else 0
    count = kept or own
    return min(MOST_VALIDATION, count) if type(count) is int else 0
