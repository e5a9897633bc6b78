"""A user's own task: `task=function task.kind=my_module:questions`.

The function is called as `questions(config, split)`, with the task's settings and the name of a
split, and yields a `Question` or a dict of its fields for each: question and gold_answer, and where
they are known prompt_id, level, subject and metadata. Prompts are made anew if its code changes, a
setting of the task but `grader`, or a file that `task.path` names; a `fingerprint()` in the module
names other data that it reads.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asymreinforce import plugins
from asymreinforce.config.task import TaskConfig
from asymreinforce.data import files
from asymreinforce.errors import InputError
from asymreinforce.plugins import load_function
from asymreinforce.tasks.question import Question


def questions(config: TaskConfig, split: str) -> Iterator[Question]:
    """Yield what the user's function yields, checked.

    Raises `InputError` where the function fails, or yields something that is not a question.
    """
    function = load_function(config.loader)
    number = 0
    try:
        for item in function(config, split):
            number += 1
            yield _question(item, config)
    except Exception as error:  # a user's function may fail in any way
        raise InputError(
            f"task.kind={config.loader}: after {number} questions of {split}: "
            f"{type(error).__name__}: {error}"
        ) from error


def fingerprints(config: TaskConfig) -> dict[str, Any]:
    """Return what pins the questions beside the settings: the code, and files that these name.

    Raises `InputError` if such a file is not there, and `ConfigError` if the module is not.
    """
    sources = config.sources.model_dump()
    named = {"path": config.path, **{name: source["path"] for name, source in sources.items()}}
    sums = {name: _sums(path) for name, path in named.items() if path is not None}
    code = {"code": plugins.identity(config.loader)}
    return code | ({"files": sums} if sums else {})


def _sums(path: Path) -> dict[str, str]:
    """Return the checksums of a file, or of all files below a directory, by name."""
    if path.is_file():
        return {path.name: files.sha256(path)}
    if not path.is_dir():
        raise InputError(f"{path}: no such file or directory; task.path or a source names it")
    below = sorted(found for found in path.rglob("*") if found.is_file())
    return {str(found.relative_to(path)): files.sha256(found) for found in below}


def _question(item: Any, config: TaskConfig) -> Question:
    if isinstance(item, Question):
        return item
    if not isinstance(item, Mapping):
        raise TypeError(f"a question is a Question or a dict, not {type(item).__name__}")
    digest = hashlib.sha256(str(item["question"]).encode()).hexdigest()[:12]
    return Question(**{"prompt_id": f"{config.name}-{digest}", **item})
