"""Choose the base of a configuration: the embedded default or the neutral base.

`conf/config.yaml` is the embedded default. Its sizes fit no other task, model or rollouts, so if
the user names any of these, the base is `conf/experiment/neutral.yaml`.
"""

import re
from collections.abc import Sequence
from pathlib import Path

NEUTRAL = "experiment=neutral"
EMBEDDED = {
    "task": {"cups"},
    "model": {"embedded"},
    "policy.source": {"embedded"},
    "source.path": {"null", ""},
}
"""Settings that choose a task, model or rollouts, and their values in the embedded default."""
NAMED_BY = ("source.path", "task.path", "task.sources.train.path", "task.sources.train.hub")
UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
"""Characters that are not allowed in the name of an experiment."""


def with_base(overrides: Sequence[str]) -> list[str]:
    """Add the neutral base and a name to the overrides if they choose a task, model or rollouts.

    A named `experiment=` is a base itself, and the overrides stay as they are.
    """
    given = {}
    for word in overrides:
        key, equals, value = word.lstrip("+").partition("=")
        if equals:
            given[key] = value.strip("'\"")
    is_chosen = any(key in given and given[key] not in own for key, own in EMBEDDED.items())
    if given.get("experiment", "neutral") != "neutral" or not (is_chosen or "experiment" in given):
        return list(overrides)
    added = [] if "experiment" in given else [NEUTRAL]
    added += [] if "name" in given else [f"name={name_of(given)}"]
    return [*overrides, *added]


def name_of(given: dict[str, str]) -> str:
    """Name an experiment after its file, its data set or its task."""
    named = [Path(given[key]).name.partition(".")[0] for key in NAMED_BY if given.get(key)]
    named += [given.get("task.name", ""), given.get("task.family", ""), given.get("task", "")]
    return next(filter(None, map(fit_name, named)), "mine")


def fit_name(text: str) -> str:
    """Make a text the name of an experiment; empty if no character is allowed in a name."""
    return UNFIT.sub("-", text).strip("-._")
