"""Turn a record of a foreign file into rows of one completion each.

A record may hold several completions (verl's `responses`, lm-evaluation-harness' `resps`). Other
fields with lists of the same length then hold one value for each completion.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from asymreinforce.config.source import Turns
from asymreinforce.data import values
from asymreinforce.data.contracts import FinishReason
from asymreinforce.imported.columns import Columns
from asymreinforce.imported.fields import (
    BadValueError,
    Messages,
    field_text,
    number_array,
    read_finish_reason,
    read_gold_answers,
    read_logps,
    read_metadata,
    read_policy,
    read_question,
    read_reward,
    read_sample,
    storable_text,
    typed,
    without_empty,
)
from asymreinforce.imported.problems import Problems
from asymreinforce.imported.records import Record
from asymreinforce.imported.turns import beside_text, completion_of

PER_COMPLETION = ("sample", "logps", "reward", "finish_reason")
"""Fields that may be lists with one value for each of several completions."""


class ForeignRow(NamedTuple):
    """One completion of a foreign file; `text`, `token_ids` or both are not None."""

    place: str
    prompt_id: str | None
    question: str | Messages | None
    is_whole_prompt: bool
    prompt_token_ids: np.ndarray | None
    gold_answer: str | None
    policy: str
    source_sample: int | None
    text: str | None
    token_ids: np.ndarray | None
    logps: np.ndarray | None
    reward: float | None
    finish_reason: FinishReason | None
    level: str | None
    subject: str | None
    metadata: str | None

    @property
    def is_bare_question(self) -> bool:
        """Whether the task's settings render the question to a prompt."""
        is_text = isinstance(self.question, str)
        return is_text and not self.is_whole_prompt and self.prompt_token_ids is None


def rows_of(
    record: Record,
    columns: Columns,
    *,
    default_policy: str,
    turns: Turns | None,
    problems: Problems,
    notes: Problems,
) -> Iterator[ForeignRow]:
    """Yield the rows of a record; count unusable rows in `problems`, left-out values in `notes`."""
    # an empty cell of a CSV is null
    given = without_empty(record.values) if record.are_texts else record.values
    fields = columns.find(given)
    if record.are_texts:
        fields = typed(fields)
    whole = columns.is_whole_prompt(given)
    for number, completion_fields in enumerate(
        _completion_fields(fields, record.place, problems, notes)
    ):
        place = record.place if number == 0 else f"{record.place} completion {number + 1}"
        try:
            turn_fields = _one_turn(completion_fields, turns, place=place, notes=notes)
            yield _foreign_row(turn_fields, place=place, whole=whole, default_policy=default_policy)
        except BadValueError as error:
            problems.add(str(error), place)


def _completion_fields(
    fields: dict[str, Any], place: str, problems: Problems, notes: Problems
) -> Iterator[dict[str, Any]]:
    """Yield the fields of each completion of a record."""
    fields = _without_missing(fields, place, notes)
    texts: Any = _without_extra_list(fields.get("completion"))
    ids: Any = fields.get("completion_token_ids")
    several_texts = isinstance(texts, list) and not (
        values.is_messages(texts) or values.is_parts(texts)
    )
    several_ids = isinstance(ids, list) and bool(ids) and isinstance(ids[0], list)
    if not (several_texts or several_ids):
        yield fields | {"completion": texts}
        return
    count = len(texts) if several_texts else len(ids)
    if not count:
        notes.add("have an empty completion", place)
        return
    if several_texts and several_ids and len(texts) != len(ids):
        problems.add("have another number of completions than of lists of token ids", place)
        return
    given = {
        name: fields[name]
        for name in PER_COMPLETION
        if isinstance(fields.get(name), list) and len(fields[name]) == count
    }
    for name in PER_COMPLETION:
        # one value cannot be assigned if there are several completions
        if count > 1 and name in fields and name not in given:
            notes.add(f"give one {name} for several completions; it is left out", place)
    for number in range(count):
        one = {k: v for k, v in fields.items() if count == 1 or k not in PER_COMPLETION}
        one |= {name: value_list[number] for name, value_list in given.items()}
        one |= {"completion": texts[number]} if several_texts else {}
        one |= {"completion_token_ids": ids[number]} if several_ids else {}
        yield _without_missing(one, place, notes)


def _without_missing(fields: dict[str, Any], place: str, notes: Problems) -> dict[str, Any]:
    """Return the fields that are not null; count numbers that are not finite in `notes`."""
    for name, value in fields.items():
        # pandas writes NaN for null
        if value is not None and values.is_missing(value):
            notes.add(f"have a {name} that is not finite; it is read as null", place)
    return {name: value for name, value in fields.items() if not values.is_missing(value)}


def _without_extra_list(value: Any) -> Any:
    """Return `[text, text]` for `[[text, text]]`, lm-evaluation-harness' form of repeats."""
    is_nested = isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
    return value[0] if is_nested and not values.is_messages(value[0]) else value


def _one_turn(
    fields: dict[str, Any], turns: Turns | None, *, place: str, notes: Problems
) -> dict[str, Any]:
    """Return the fields with the completion's text in place of messages.

    Contents of messages that are not text are counted in `notes`.
    """
    question: Any = fields.get("question")
    messages = (
        [m for m in question if isinstance(m, Mapping)] if values.is_messages(question) else []
    )
    for kind in dict.fromkeys(kind for message in messages for kind in beside_text(message)):
        notes.add(f"hold {kind} in a message of the prompt; it is left out", place)
    if not values.is_messages(fields.get("completion")):
        return fields
    turn = completion_of(fields["completion"], turns)
    for kind in turn.left_out:
        notes.add(f"hold {kind} in a completion's message; it is left out", place)
    if turn.is_alone:
        return fields | {"completion": turn.text}
    # which of the token ids belong to the turn is not known
    if "completion_token_ids" in fields:
        raise BadValueError("have token ids of several messages, of which source.turns takes one")
    notes.add(f"hold several messages, of which the {turns} of the assistant is taken", place)
    # a turn before another turn has ended; the row's finish reason is that of the last turn
    ended = {} if turn.is_last else {"finish_reason": "stop"}
    return fields | {"completion": turn.text} | ended


def _foreign_row(
    fields: dict[str, Any], *, place: str, whole: bool, default_policy: str
) -> ForeignRow:
    text: Any = fields.get("completion")
    token_ids = number_array(fields.get("completion_token_ids"), "token ids", integer=True)
    if values.is_parts(text):
        text = field_text({"completion": text}, "completion")
    if not (isinstance(text, str) or text is None):
        raise BadValueError(f"have a completion of type {type(text).__name__}, not a text")
    if text is None and token_ids is None:
        raise BadValueError("have no completion")
    logps = read_logps(fields.get("logps"), token_ids)
    golds = read_gold_answers(fields)
    return ForeignRow(
        place=place,
        prompt_id=field_text(fields, "prompt_id"),
        question=read_question(fields.get("question"), fields.get("prompt_token_ids")),
        is_whole_prompt=whole,
        prompt_token_ids=number_array(
            fields.get("prompt_token_ids"), "prompt token ids", integer=True
        ),
        gold_answer=golds[0] if golds else None,
        policy=read_policy(fields) or default_policy,
        source_sample=read_sample(fields.get("sample")),
        text=None if text is None else storable_text(text),
        token_ids=token_ids,
        logps=logps,
        reward=read_reward(fields.get("reward")),
        finish_reason=read_finish_reason(fields.get("finish_reason")),
        level=field_text(fields, "level"),
        subject=field_text(fields, "subject"),
        metadata=read_metadata(fields, golds),
    )
