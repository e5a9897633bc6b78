"""On which base a configuration is composed: the embedded default, or the neutral one.

`conf/config.yaml` is the embedded default. As soon as a task, a model or rollouts of one's own are
named, none of its sizes fits, and `conf/experiment/neutral.yaml` is taken instead.
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
"""Settings that choose what is worked on, and their values that choose the embedded default."""
NAMED_BY = ("source.path", "task.path", "task.sources.train.path", "task.sources.train.hub")
UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
"""What a name cannot hold."""


def with_base(overrides: Sequence[str]) -> list[str]:
    """Return the overrides with the neutral base, and a name, where something is chosen.

    An experiment that is named is a base itself.
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
    """Return a text as the name of an experiment; empty if nothing of it fits."""
    return UNFIT.sub("-", text).strip("-._")
