"""A row of a data set as a question with its gold answer.

Two layouts are known: columns named by `task.columns`, and verl's prompt parquet (data_source,
prompt as chat messages, reward_model.ground_truth, extra_info), which is read as it is.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asymreinforce.config.task import TaskConfig
from asymreinforce.errors import InputError
from asymreinforce.rewards.extraction import last_boxed
from asymreinforce.tasks.question import Question

Row = Mapping[str, Any]
BARE_BOX = re.compile(r"\\boxed\s+([^\s{}$.]+)")
VERL = {"data_source", "prompt", "reward_model"}


def is_verl(row: Row) -> bool:
    """Tell whether a row has the columns of verl's prompt parquet, with a chat as its prompt."""
    return row.keys() >= VERL and isinstance(row["prompt"], list)


def question_of(row: Row, config: TaskConfig, *, split: str, where: str) -> Question:
    """Map a row to a question; an empty gold answer means that the row has none.

    Raises `InputError`, naming the columns there are, where one that is needed is not there.
    """
    if is_verl(row):
        return _verl_question(row, config, where=where)
    columns = config.columns
    text = _text(_pick(row, columns.question))
    if text is None:
        raise _no_column("question", columns.question, row, where)
    return Question(
        _id(row, columns.id, text, name=config.name, split=split),
        text,
        _answer(row, config, where=where),
        level=_level(_pick(row, columns.level)),
        subject=_text(_pick(row, columns.subject)),
    )


def row_value(row: Row, name: str) -> Any:
    """Return a column's value, None where it is absent; `a.b` reaches into a struct."""
    value: Any = row
    for part in name.split(".") if name not in row else [name]:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def has_column(row: Row, name: str) -> bool:
    """Tell whether a column is there, be its value null; `a.b` reaches into a struct."""
    head, _, rest = name.partition(".")
    if name in row or head not in row:
        return name in row
    return not rest or not isinstance(row[head], Mapping) or has_column(row[head], rest)


def _pick(row: Row, names: Sequence[str]) -> Any:
    return next((row_value(row, name) for name in names if has_column(row, name)), None)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _level(value: Any) -> str | None:
    """Write MATH's levels one way: the hub has 5 in one place and `Level 5` in another."""
    text = _text(value)
    return f"Level {text}" if text is not None and text.isdigit() else text


def _answer(row: Row, config: TaskConfig, *, where: str) -> str:
    r"""Take the answer column, or the last `\boxed{}` of the solution where there is no such."""
    names = config.columns
    if any(has_column(row, name) for name in names.answer):
        found = _scalar(_pick(row, names.answer), where=where)
        if config.answer_marker:
            found = found.rpartition(config.answer_marker)[2]
    elif any(has_column(row, name) for name in names.solution):
        found = _boxed(_scalar(_pick(row, names.solution), where=where))
    else:
        raise _no_column("answer", [*names.answer, *names.solution], row, where)
    found = found.strip()
    return "" if found.lower() in {word.lower() for word in config.no_answers} else found


def _boxed(solution: str) -> str:
    r"""Return what is boxed last; two solutions of MATH write `\boxed 9`, without braces."""
    if (found := last_boxed(solution)) is not None:
        return found
    bare = BARE_BOX.findall(solution)
    return str(bare[-1]) if bare else ""


def _scalar(value: Any, *, where: str) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | dict):
        raise InputError(
            f"{where}: an answer is a {type(value).__name__}, not a text or number; name the "
            "column that holds it, as in task.columns.answer=answers.final"
        )
    return "" if value is None else str(value)


def _id(row: Row, names: Sequence[str], text: str, *, name: str, split: str) -> str:
    """Return a text id as it is, a number with its task and split, else a hash of the question."""
    own = _text(_pick(row, names))
    if not own:
        return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return f"{name}-{split}-{own}" if own.isdigit() else own


def _verl_question(row: Row, config: TaskConfig, *, where: str) -> Question:
    reward: Any = row["reward_model"] or {}
    if not isinstance(reward, Mapping) or "ground_truth" not in reward:
        raise InputError(f"{where}: reward_model has no ground_truth, as verl's parquet has")
    messages = [{"role": str(m["role"]), "content": str(m["content"])} for m in row["prompt"]]
    users = [message["content"] for message in messages if message["role"] == "user"]
    if not users:
        raise InputError(f"{where}: a prompt has no message of the user")
    extra = _known(row.get("extra_info") or {})
    kept = {"messages": messages, "data_source": row["data_source"], "extra_info": extra}
    text, source = users[-1], str(row["data_source"])
    own = extra.get("index")
    digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:12]
    split = extra.get("split")
    return Question(
        f"{source}-{split}-{own}" if own is not None and split else f"{source}-{digest}",
        text,
        _scalar(reward["ground_truth"], where=where).strip(),
        level=_level(extra.get("level")),
        subject=source,
        metadata=json.dumps(kept, sort_keys=True, default=str),
    )


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out nulls: parquet gives every row the keys of all."""
    return {key: value for key, value in values.items() if value is not None}


def _no_column(what: str, names: Sequence[str], row: Row, where: str) -> InputError:
    return InputError(
        f"{where}: no {what} (looked for the column {', '.join(names)}; there are "
        f"{', '.join(row)}); name it, as in task.columns.{what}={next(iter(row), 'NAME')}"
    )


def keeps(where: Mapping[str, list[Any]], *, place: str) -> Callable[[Row], bool]:
    """Return the test that `where` makes of a row: each column holds one of its values.

    Values are compared as text, whatever their case: `false` in a CSV is False in parquet.
    """
    wanted = {name: {str(value).lower() for value in values} for name, values in where.items()}

    def test(row: Row) -> bool:
        for name, values in wanted.items():
            if not has_column(row, name):
                raise InputError(
                    f"{place}: no column {name}, which 'where' asks for; there are {', '.join(row)}"
                )
            if str(row_value(row, name)).lower() not in values:
                return False
        return True

    return test
