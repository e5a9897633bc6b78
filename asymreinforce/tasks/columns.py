"""Turn a row of a data set into a question with its gold answer.

Two layouts are known: columns that `task.columns` names, and verl's prompt parquet (data_source,
prompt as chat messages, reward_model.ground_truth, extra_info), which needs no settings.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asymreinforce.config.task import TaskConfig
from asymreinforce.data import values
from asymreinforce.data.gold_answers import texts_of, with_accepted
from asymreinforce.errors import InputError
from asymreinforce.grading.extraction import last_boxed
from asymreinforce.tasks.question import Question, text_hash

Row = Mapping[str, Any]
BARE_BOX = re.compile(r"\\boxed\s+([^\s{}$.]+)")
FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
VERL = {"data_source", "prompt", "reward_model"}


def is_verl(row: Row) -> bool:
    """Tell whether a row has the columns of verl's prompt parquet, with a chat as its prompt."""
    return row.keys() >= VERL and isinstance(row["prompt"], list)


def question_of(row: Row, config: TaskConfig, *, split: str, where: str) -> Question:
    """Return a row as a question; the gold answer is empty if the row has none.

    Raises `InputError`, which lists the existing columns, if a required column is missing.
    """
    if is_verl(row):
        return _verl_question(row, config, where=where)
    columns = config.columns
    if not any(has_column(row, name) for name in columns.question):
        raise _no_column("question", columns.question, row, where)
    value, chat = _first_value(row, columns.question), None
    if values.is_messages(value):
        messages = _chat_messages(value, where=where)
        text, chat = messages[-1].content, {"messages": messages}
    else:
        text = _column_text(row, columns.question, "question", where=where) or ""
    # different chats may end with the same message, so the id is a hash of all messages
    id_text = _metadata_json(chat, where=where) or text
    golds = _gold_answers(row, config, where=where)
    return Question(
        _question_id(row, columns.id, id_text, name=config.name, split=split, where=where),
        text,
        golds[0] if golds else "",
        level=_normal_level(_column_text(row, columns.level, "level", where=where)),
        subject=_column_text(row, columns.subject, "subject", where=where),
        metadata=_metadata_json(with_accepted(chat, golds), where=where),
    )


def row_value(row: Row, name: str) -> Any:
    """Return a column's value, or None if the column is absent; `a.b` is field b of struct a."""
    value: Any = row
    for part in name.split(".") if name not in row else [name]:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def has_column(row: Row, name: str) -> bool:
    """Tell whether a column exists, even if its value is null; `a.b` is field b of struct a."""
    head, _, rest = name.partition(".")
    if name in row or head not in row:
        return name in row
    return not rest or not isinstance(row[head], Mapping) or has_column(row[head], rest)


def _first_value(row: Row, names: Sequence[str]) -> Any:
    return next((row_value(row, name) for name in names if has_column(row, name)), None)


def _column_text(row: Row, names: Sequence[str], what: str, *, where: str) -> str | None:
    """Return the text of the first column that exists; a list of one item is the item."""
    try:
        return values.require_storable(values.one_text_of(_first_value(row, names)))
    except values.OddValueError as error:
        raise _odd_value(error, row, names, what, where) from error


def _column_texts(row: Row, names: Sequence[str], what: str, *, where: str) -> list[str]:
    """Return the texts of the first column that exists, which holds a text or a list of texts."""
    try:
        return texts_of(_first_value(row, names))
    except values.OddValueError as error:
        raise _odd_value(error, row, names, what, where) from error


def _odd_value(
    error: values.OddValueError, row: Row, names: Sequence[str], what: str, where: str
) -> InputError:
    column = next(name for name in names if has_column(row, name))
    return InputError(
        f"{where}: the {what} in the column {column} is {error}; name the column that holds a "
        f"text, as in task.columns.{what}=NAME or task.columns.{what}=NAME.FIELD"
    )


def _chat_messages(value: Any, *, where: str) -> list[values.Message]:
    try:
        return list(values.prompt_of(value))
    except values.OddValueError as error:
        raise InputError(f"{where}: a prompt is {error}") from error


def _metadata_json(value: Mapping[str, Any] | None, *, where: str) -> str | None:
    if value is None:
        return None
    chat = [message._asdict() for message in value.get("messages", ())]
    try:
        return values.json_text({**value, "messages": chat} if chat else value)
    except values.OddValueError as error:
        raise InputError(f"{where}: a row holds {error}") from error


def _normal_level(text: str | None) -> str | None:
    """Return a level of MATH in the form `Level 5`."""
    # data sets on the hub write 5 in one place and `Level 5` in another
    return f"Level {text}" if text is not None and text.isdigit() else text


def _gold_answers(row: Row, config: TaskConfig, *, where: str) -> list[str]:
    r"""Return the accepted answers: the answer column, else the last `\boxed{}` of the solution.

    If the answer column is a list, any of its items is right.
    """
    names = config.columns
    if any(has_column(row, name) for name in names.answer):
        golds = _column_texts(row, names.answer, "answer", where=where)
        if config.answer_marker:
            # GSM8K's answers hold their working before the marker '####'
            golds = [gold.rpartition(config.answer_marker)[2] for gold in golds]
    elif any(has_column(row, name) for name in names.solution):
        golds = [_boxed_answer(_column_text(row, names.solution, "solution", where=where) or "")]
    else:
        raise _no_column("answer", [*names.answer, *names.solution], row, where)
    return _stated_answers(golds, but_for=config.no_answers)


def _stated_answers(golds: Sequence[str], *, but_for: Sequence[str] = ()) -> list[str]:
    """Return the distinct answers that are not empty and not one of the words in `but_for`."""
    silent = {"", *(word.lower() for word in but_for)}
    stripped = dict.fromkeys(gold.strip() for gold in golds)
    return [gold for gold in stripped if gold.lower() not in silent]


def _boxed_answer(solution: str) -> str:
    r"""Return the content of the last `\boxed{}` in a solution, or an empty text."""
    if (answer := last_boxed(solution)) is not None:
        return answer
    # two solutions of MATH write `\boxed 9`, without braces
    bare = BARE_BOX.findall(solution)
    return str(bare[-1]) if bare else ""


def _question_id(
    row: Row, names: Sequence[str], text: str, *, name: str, split: str, where: str
) -> str:
    """Return a text id unchanged, a number with task and split, else a hash of the question."""
    row_id = _column_text(row, names, "id", where=where)
    if not row_id:
        return f"{name}-{text_hash(text)}"
    # other tasks and splits may have the same numbers
    return f"{name}-{split}-{row_id}" if row_id.isdigit() else row_id


def _verl_question(row: Row, config: TaskConfig, *, where: str) -> Question:
    reward: Any = row["reward_model"] or {}
    if not isinstance(reward, Mapping) or "ground_truth" not in reward:
        raise InputError(f"{where}: reward_model has no ground_truth, as verl's parquet has")
    messages = _chat_messages(row["prompt"], where=where)
    extra = row.get("extra_info") or {}
    if not isinstance(extra, Mapping):
        raise InputError(f"{where}: extra_info is {values.kind_of(extra)}, not an object")
    extra = _without_nulls(extra)
    kept = {"messages": messages, "data_source": row["data_source"], "extra_info": extra}

    def text_at(name: str) -> str | None:
        return _column_text(row, [name], name, where=where)

    source, index, split = (
        text_at("data_source"),
        text_at("extra_info.index"),
        text_at("extra_info.split"),
    )
    golds = _stated_answers(
        _column_texts(row, ["reward_model.ground_truth"], "ground_truth", where=where)
    )
    # without an index in extra_info, the id is a hash of all messages
    chat = json.dumps([message._asdict() for message in messages], sort_keys=True)
    id_ = f"{split}-{index}" if index is not None and split else text_hash(chat)
    return Question(
        f"{source}-{id_}",
        messages[-1].content,
        golds[0] if golds else "",
        level=_normal_level(text_at("extra_info.level")),
        subject=source,
        metadata=_metadata_json(with_accepted(kept, golds), where=where),
    )


def _without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping without its nulls."""
    # parquet gives every row the keys of all rows
    return {key: value for key, value in values.items() if value is not None}


def _no_column(what: str, names: Sequence[str], row: Row, where: str) -> InputError:
    return InputError(
        f"{where}: no {what} (looked for the column {', '.join(names)}; there are "
        f"{', '.join(row)}); name it, as in task.columns.{what}={next(iter(row), 'NAME')}"
    )


def row_filter(where: Mapping[str, list[Any]], *, place: str) -> Callable[[Row], bool]:
    """Return the test that a row passes if each column of `where` has one of the listed values.

    Values are compared as text without regard to case: `false` in a CSV equals False in parquet.
    """
    wanted = {
        name: {_comparable_text(value) for value in accepted} for name, accepted in where.items()
    }

    def test(row: Row) -> bool:
        for name, accepted in wanted.items():
            if not has_column(row, name):
                raise InputError(
                    f"{place}: no column {name}, which 'where' asks for; there are {', '.join(row)}"
                )
            if _comparable_text(row_value(row, name)) not in accepted:
                return False
        return True

    return test


def _comparable_text(value: Any) -> str | None:
    """Return a value as text for comparison; None for null and for values that have no text."""
    if isinstance(value, bool):
        # Python writes True, JSON and many CSV files write true
        return str(value).lower()
    try:
        text = values.text_of(value)
    except values.OddValueError:
        return None
    return None if text is None else text.lower()


def read_flag(row: Row, name: str, *, where: str) -> bool:
    """Return a column of true, false, 0, 1, or their text as a truth value; null is false.

    Raises `InputError` for any other value.
    """
    text = _comparable_text(row_value(row, name)) or "false"
    if text not in FLAGS:
        raise InputError(f"{where}: the column {name} says neither true nor false")
    return FLAGS[text]
