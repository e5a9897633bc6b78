"""Turn a user's short forms of `evaluation.suites` into full settings: names become presets.

evaluation.suites=[math500,aime24]
evaluation.suites.amc.task=math500 evaluation.suites.amc.prompts=40
evaluation.suites: {amc: {task: {preset: file, path: amc.jsonl}, sampling: {temperature: 0.6}}}
"""

from collections.abc import Mapping
from typing import Any

from asymreinforce.errors import ConfigError
from asymrl import keys

KEY = "evaluation.suites"
PRESET = "preset"
MISSING = "???"
"""The mark of a value that a preset leaves to the user."""


def with_presets(suites: Any) -> dict[str, Any]:
    """Return suites by name, each with all settings of its task.

    A list names presets of `task=`. A suite without a task takes the preset of the same name.
    Raises `ConfigError` if there is no such preset, or a required setting is missing.
    """
    if isinstance(suites, str):
        suites = [suites]
    if isinstance(suites, list):
        if odd := [one for one in suites if not isinstance(one, str)]:
            raise ConfigError(
                f"{KEY}: a list holds names of tasks, as in [math500,aime24] (given: {odd[0]!r}); "
                "a suite with settings of its own is {NAME: {task: math500, ...}}"
            )
        if len(set(suites)) < len(suites):
            raise ConfigError(f"{KEY}: {', '.join(suites)} names a task twice")
        suites = dict.fromkeys(suites)
    if not isinstance(suites, Mapping | None):
        raise ConfigError(
            f"{KEY}: is a list of tasks, as in [math500,aime24], or a mapping, as in "
            f"{{amc: {{task: math500, prompts: 40}}}} (given: {suites!r})"
        )
    return {str(name): _with_task(str(name), suite) for name, suite in (suites or {}).items()}


def _with_task(name: str, suite: Any) -> dict[str, Any]:
    where = f"{KEY}.{name}"
    if not isinstance(suite, Mapping | None):
        raise ConfigError(
            f"{where}: is a mapping, as in {{task: math500, prompts: 40}} (given: {suite!r})"
        )
    values = dict(suite or {})
    task = values.get("task", name)
    if isinstance(task, str):
        task = {PRESET: task}
    if not isinstance(task, Mapping):
        raise ConfigError(
            f"{where}.task: is the name of a task, or a mapping, as in "
            f"{{preset: file, path: FILE}} (given: {task!r})"
        )
    return values | {"task": _task(task, name=name, where=where)}


def _task(given: Mapping[str, Any], *, name: str, where: str) -> dict[str, Any]:
    """Return the settings of a task: defaults, overridden by the preset, then by `given`."""
    from asymreinforce.config import TaskConfig
    from asymrl.defaults import defaults_of

    own = dict(given)
    preset = _read_preset(str(own.pop(PRESET)), where=where) if PRESET in own else {}
    if preset.get("name") in ("file", "function") and "name" not in own:
        own["name"] = name  # these presets are general, so their name says nothing of the questions
    defaults = {"name": name, "train": 0, "validation": 0}  # nothing trains on a suite
    values = _merged(_merged(_merged(defaults_of(TaskConfig), defaults), preset), own)
    if values["name"] == "${task.family}":
        values["name"] = values["family"] or MISSING
    if missing := [key for key, value in values.items() if value == MISSING]:
        key = missing[0]
        advice = "" if PRESET in given else f", or name a task to begin with: {where}.task=math500"
        raise ConfigError(
            f"{where}.task.{key}: must be given, as in {where}.task.{key}=VALUE{advice}"
        )
    return values


def _read_preset(preset: str, *, where: str) -> dict[str, Any]:
    import yaml

    choices = keys.groups()["task"]
    if preset not in choices:
        raise ConfigError(
            f"{where}.task: {keys.unknown(preset, choices, 'task=')}; a suite of other questions "
            "is {task: {preset: file, path: FILE}}"
        )
    text = (keys.shipped() / "task" / f"{preset}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge settings section by section; `above` overrides `below`."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(old, value)
        else:
            result[key] = value
    return result
