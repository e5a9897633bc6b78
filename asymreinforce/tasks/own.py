"""A user's own task: `task=function task.kind=my_module:questions`.

The function is called as `questions(config, split)`, with the task's settings and the name of a
split, and yields a `Question` or a dict of its fields for each: question and gold_answer, and where
they are known prompt_id, level, subject and metadata. A question may be a list of chat messages.
"""

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asymreinforce.config.task import TaskConfig
from asymreinforce.data import files, values
from asymreinforce.errors import InputError
from asymreinforce.plugins import load_function
from asymreinforce.tasks.question import Question

REQUIRED = {"prompt_id", "question", "gold_answer"}
TEXTS = REQUIRED | {"level", "subject"}


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


def source_hash(name: str) -> str | None:
    """Name the code of a user's function by the contents of its module's file."""
    path = inspect.getsourcefile(load_function(name))
    return files.sha256(Path(path))[:16] if path else None


def _question(item: Any, config: TaskConfig) -> Question:
    if not isinstance(item, Mapping | Question):
        raise TypeError(f"a question is a Question or a dict, not {type(item).__name__}")
    fields = item._asdict() if isinstance(item, Question) else dict(item)
    asked, metadata = fields["question"], fields.get("metadata")
    if values.is_messages(asked):
        if isinstance(metadata, str):
            raise TypeError("metadata beside a chat is a dict, to which the messages are added")
        chat = [message._asdict() for message in values.prompt_of(asked)]
        metadata = {**(metadata or {}), "messages": chat}
        fields["question"] = chat[-1]["content"]
    if not (metadata is None or isinstance(metadata, str)):
        fields["metadata"] = values.json_text(metadata)
    for name in fields.keys() & TEXTS:
        fields[name] = _text(fields[name], name)
    identified = fields["metadata"] if values.is_messages(asked) else fields["question"]
    digest = hashlib.sha256(identified.encode(errors="replace")).hexdigest()[:12]
    return Question(**{"prompt_id": f"{config.name}-{digest}", **fields})


def _text(value: Any, name: str) -> str | None:
    try:
        text = values.storable(values.text_of(value))
    except values.OddValueError as error:
        raise TypeError(f"{name} is {error}") from None
    if text is None and name in REQUIRED:
        raise TypeError(f"{name} is null")
    return text
