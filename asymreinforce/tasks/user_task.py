"""A user's own task: `task=function task.kind=my_module:questions`.

The function is called as `questions(config, split)`, with the task's settings and the name of a
split. For each question it yields a `Question` or a dict of its fields: question and gold_answer,
and if known prompt_id, level, subject and metadata. A question may be a list of chat messages. A
gold answer may be a list of answers, of which any is right.

Prompts are regenerated if the function's code, a setting of the task other than `grader`, or a file
in `task.path` changes. A function `fingerprint()` in the module covers other data that it reads.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asymreinforce import plugins
from asymreinforce.config.task import TaskConfig
from asymreinforce.data import files, values
from asymreinforce.data.gold_answers import texts_of, with_accepted
from asymreinforce.errors import InputError
from asymreinforce.plugins import load_function
from asymreinforce.tasks.question import Question, text_hash

REQUIRED = {"prompt_id", "question", "gold_answer"}
TEXTS = REQUIRED | {"level", "subject"}


def user_questions(config: TaskConfig, split: str) -> Iterator[Question]:
    """Yield the questions of the user's function, after checking each.

    Raises `InputError` if the function fails, or yields something that is not a question.
    """
    function = load_function(config.loader)
    number = 0
    try:
        for item in function(config, split):
            number += 1
            yield _checked_question(item, config)
    except Exception as error:  # a user's function may fail in any way
        raise InputError(
            f"task.kind={config.loader}: after {number} questions of {split}: "
            f"{type(error).__name__}: {error}"
        ) from error


def user_fingerprints(config: TaskConfig) -> dict[str, Any]:
    """Return fingerprints of the function's code and of the files that the settings name.

    Raises `InputError` if such a file is missing, and `ConfigError` if the module is missing.
    """
    sources = config.sources.model_dump()
    named = {"path": config.path, **{name: source["path"] for name, source in sources.items()}}
    sums = {name: _file_checksums(path) for name, path in named.items() if path is not None}
    code = {"code": plugins.plugin_identity(config.loader)}
    return code | ({"files": sums} if sums else {})


def _file_checksums(path: Path) -> dict[str, str]:
    """Return the checksum of a file, or of each file below a directory, by file name."""
    if path.is_file():
        return {path.name: files.sha256(path)}
    if not path.is_dir():
        raise InputError(f"{path}: no such file or directory; task.path or a source names it")
    # sorted, so that the fingerprint does not depend on the file system
    below = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): files.sha256(file) for file in below}


def _checked_question(item: Any, config: TaskConfig) -> Question:
    if not isinstance(item, Mapping | Question):
        raise TypeError(f"a question is a Question or a dict, not {type(item).__name__}")
    fields = item._asdict() if isinstance(item, Question) else dict(item)
    question, metadata = fields["question"], fields.get("metadata")
    if values.is_messages(question):
        if isinstance(metadata, str):
            raise TypeError("metadata beside a chat is a dict, to which the messages are added")
        chat = [message._asdict() for message in values.prompt_of(question)]
        metadata = {**(metadata or {}), "messages": chat}
        fields["question"] = chat[-1]["content"]
    golds = _gold_answers(fields["gold_answer"])
    fields["gold_answer"] = golds[0] if golds else None
    if len(golds) > 1:
        if isinstance(metadata, str):
            raise TypeError("metadata beside several gold answers is a dict, to which they go")
        metadata = with_accepted(metadata, golds)
    if not (metadata is None or isinstance(metadata, str)):
        fields["metadata"] = values.json_text(metadata)
    for name in fields.keys() & TEXTS:
        fields[name] = _field_text(fields[name], name)
    # different chats may end with the same message, so the id is a hash of all messages
    id_text = fields["metadata"] if values.is_messages(question) else fields["question"]
    return Question(**{"prompt_id": f"{config.name}-{text_hash(id_text)}", **fields})


def _gold_answers(value: Any) -> list[str]:
    try:
        return texts_of(value)
    except values.OddValueError as error:
        raise TypeError(f"gold_answer is {error}") from None


def _field_text(value: Any, name: str) -> str | None:
    try:
        text = values.require_storable(values.text_of(value))
    except values.OddValueError as error:
        raise TypeError(f"{name} is {error}") from None
    if text is None and name in REQUIRED:
        raise TypeError(f"{name} is null")
    return text
