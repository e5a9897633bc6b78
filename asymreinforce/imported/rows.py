"""From a record of a foreign file to rows: one completion each, its fields checked and typed.

A record may hold several completions (verl's `responses`, lm-evaluation-harness' `resps`); lists
beside them that are as long hold a value for each.
"""

import math
import numbers
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from asymreinforce.config.source import Turns
from asymreinforce.data import values
from asymreinforce.data.contracts import FinishReason
from asymreinforce.data.gold_answers import KEY, texts_of
from asymreinforce.imported.columns import Columns
from asymreinforce.imported.problems import Problems
from asymreinforce.imported.records import Record
from asymreinforce.imported.text_values import typed, without_empty
from asymreinforce.imported.turns import BadTurnsError, beside_text, completion_of

Messages = tuple[tuple[str, str], ...]
"""A chat: (role, content) in order."""

FINISH_REASONS: Mapping[Any, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    False: "stop",
    "length": "length",
    "max_tokens": "length",
    "truncated": "length",
    True: "length",
}
"""What engines and services call the two ends of a completion; a bool says `truncated`."""

PER_COMPLETION = ("sample", "logps", "reward", "finish_reason")
"""Fields that may be lists beside several completions."""

LARGEST_REWARD = 1e9
"""Larger ones are sentinels or overflow, and their mean would be one as well."""


class ForeignRow(NamedTuple):
    """One completion as a foreign file gives it. `text` or `token_ids` is there, maybe both."""

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
        """Whether the task's settings make the prompt out of the question; else it came whole."""
        is_text = isinstance(self.question, str)
        return is_text and not self.is_whole_prompt and self.prompt_token_ids is None


class BadValueError(Exception):
    """A field that cannot be used; the text follows `n rows`."""


def rows_of(
    record: Record,
    columns: Columns,
    *,
    default_policy: str,
    turns: Turns | None,
    problems: Problems,
    notes: Problems,
) -> Iterator[ForeignRow]:
    """Yield the rows of a record; what cannot be used goes to `problems`, what is left out to
    `notes`.
    """
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
        except (BadValueError, BadTurnsError) as error:
            problems.add(str(error), place)


def _completion_fields(
    fields: dict[str, Any], place: str, problems: Problems, notes: Problems
) -> Iterator[dict[str, Any]]:
    """Yield the fields of each completion of a record."""
    fields = _without_missing(fields, place, notes)
    texts: Any = _without_extra_list(fields.get("completion"))
    ids: Any = fields.get("completion_token_ids")
    several_texts = isinstance(texts, list) and not (_is_chat(texts) or values.is_parts(texts))
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
        # With one completion a value of the record is the completion's; with several it is nobody's
        if count > 1 and name in fields and name not in given:
            notes.add(f"give one {name} for several completions; it is left out", place)
    for number in range(count):
        one = {k: v for k, v in fields.items() if count == 1 or k not in PER_COMPLETION}
        one |= {name: value_list[number] for name, value_list in given.items()}
        one |= {"completion": texts[number]} if several_texts else {}
        one |= {"completion_token_ids": ids[number]} if several_ids else {}
        yield _without_missing(one, place, notes)


def _without_missing(fields: dict[str, Any], place: str, notes: Problems) -> dict[str, Any]:
    """Leave nulls out; a number that is not finite, by which pandas spells null, is counted."""
    for name, value in fields.items():
        if value is not None and values.is_missing(value):
            notes.add(f"have a {name} that is not finite; it is read as null", place)
    return {name: value for name, value in fields.items() if not values.is_missing(value)}


def _without_extra_list(value: Any) -> Any:
    """Take the extra list off `[[text, text]]`, lm-evaluation-harness' form of repeats."""
    is_nested = isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
    return value[0] if is_nested and not _is_chat(value[0]) else value


def _one_turn(
    fields: dict[str, Any], turns: Turns | None, *, place: str, notes: Problems
) -> dict[str, Any]:
    """Return the fields with a text in place of messages; what those hold beside it is noted."""
    question: Any = fields.get("question")
    messages = [m for m in question if isinstance(m, Mapping)] if _is_chat(question) else []
    for kind in dict.fromkeys(kind for message in messages for kind in beside_text(message)):
        notes.add(f"hold {kind} in a message of the prompt; it is left out", place)
    if not _is_chat(fields.get("completion")):
        return fields
    turn = completion_of(fields["completion"], turns)
    for kind in turn.left_out:
        notes.add(f"hold {kind} in a completion's message; it is left out", place)
    if turn.is_alone:
        return fields | {"completion": turn.text}
    if "completion_token_ids" in fields:
        raise BadValueError("have token ids of several messages, of which source.turns takes one")
    notes.add(f"hold several messages, of which the {turns} of the assistant is taken", place)
    # a turn that another one follows had ended; how the row ended says nothing of it
    ended = {} if turn.is_last else {"finish_reason": "stop"}
    return fields | {"completion": turn.text} | ended


def _foreign_row(
    fields: dict[str, Any], *, place: str, whole: bool, default_policy: str
) -> ForeignRow:
    text: Any = fields.get("completion")
    token_ids = _number_array(fields.get("completion_token_ids"), "token ids", integer=True)
    if values.is_parts(text):
        text = _field_text({"completion": text}, "completion")
    if not (isinstance(text, str) or text is None):
        raise BadValueError(f"have a completion of type {type(text).__name__}, not a text")
    if text is None and token_ids is None:
        raise BadValueError("have no completion")
    logps = _read_logps(fields.get("logps"), token_ids)
    golds = _read_gold_answers(fields)
    return ForeignRow(
        place=place,
        prompt_id=_field_text(fields, "prompt_id"),
        question=_read_question(fields.get("question"), fields.get("prompt_token_ids")),
        is_whole_prompt=whole,
        prompt_token_ids=_number_array(
            fields.get("prompt_token_ids"), "prompt token ids", integer=True
        ),
        gold_answer=golds[0] if golds else None,
        policy=_read_policy(fields) or default_policy,
        source_sample=_read_sample(fields.get("sample")),
        text=None if text is None else _storable_text(text),
        token_ids=token_ids,
        logps=logps,
        reward=_read_reward(fields.get("reward")),
        finish_reason=_read_finish_reason(fields.get("finish_reason")),
        level=_field_text(fields, "level"),
        subject=_field_text(fields, "subject"),
        metadata=_read_metadata(fields, golds),
    )


def _read_question(value: Any, prompt_token_ids: Any) -> str | Messages | None:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if _is_chat(value):
        return tuple((role, _storable_text(content)) for role, content in _chat_messages(value))
    text = _field_text({"question": value}, "question")
    if not text and prompt_token_ids is None:
        raise BadValueError("have no question")
    return text or None


def _is_chat(value: Any) -> bool:
    return values.is_messages(value)


def _chat_messages(value: list[dict[str, Any]]) -> Messages:
    try:
        return values.messages_of(value)
    except values.OddValueError as error:
        raise BadValueError(f"have {error}") from None


def _number_array(value: Any, what: str, *, integer: bool) -> np.ndarray | None:
    if value is None:
        return None
    kinds = int if integer else (int, float)
    if not isinstance(value, list) or any(
        isinstance(item, bool) or not isinstance(item, kinds) for item in value
    ):
        raise BadValueError(f"have {what} that are no list of numbers")
    if integer and value and not (min(value) >= 0 and max(value) < 2**31):
        raise BadValueError(f"have negative or impossible {what}")
    try:
        return np.array(value, dtype=np.int32 if integer else np.float32)
    except OverflowError:
        raise BadValueError(f"have {what} that are out of range") from None


def _read_logps(value: Any, token_ids: np.ndarray | None) -> np.ndarray | None:
    if value is None:
        return None
    if token_ids is None:
        raise BadValueError("have log-probabilities, but no token ids that they belong to")
    if isinstance(value, list) and any(item is None for item in value):
        raise BadValueError("have a log-probability that is null")
    logps = _number_array(value, "log-probabilities", integer=False)
    assert logps is not None
    if len(logps) != len(token_ids):
        raise BadValueError("have another number of log-probabilities than of tokens")
    if not np.isfinite(logps).all():
        raise BadValueError("have a log-probability that is not finite")
    if (logps > 1e-3).any():
        raise BadValueError("have a log-probability above 0 (probabilities, perhaps)")
    return logps


def _read_reward(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, numbers.Real | Decimal):
        raise BadValueError("have a reward that is no number")
    try:
        reward = float(value)
    except OverflowError:  # a whole number of 400 digits
        reward = math.inf
    if abs(reward) > LARGEST_REWARD:
        raise BadValueError(f"have a reward beyond {LARGEST_REWARD:g} in size")
    return reward


def _read_finish_reason(value: Any) -> FinishReason | None:
    if value is None:
        return None
    if not isinstance(value, str | bool) or value not in FINISH_REASONS:
        raise BadValueError(f"have a finish reason that is not known, such as {str(value)[:40]!r}")
    return FINISH_REASONS[value]


def _read_sample(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise BadValueError("have a sample number that is no whole number")
    return value


def _field_text(fields: Mapping[str, Any], name: str) -> str | None:
    """Return a field as a text by the rule of `values`; a list of one is its item."""
    try:
        text = values.one_text_of(fields.get(name))
    except values.OddValueError as error:
        raise BadValueError(f"have a {name} that is {error}") from None
    return None if text is None else _storable_text(text)


def _read_policy(fields: Mapping[str, Any]) -> str | None:
    """Return the writer of a row; trainers number their steps."""
    name = _field_text(fields, "policy")
    return f"step-{name}" if name and isinstance(fields["policy"], int) else name


def _read_gold_answers(fields: Mapping[str, Any]) -> list[str]:
    """Return the accepted answers of a row: its gold answer is a text, or a list of them."""
    try:
        return texts_of(fields.get("gold_answer"))
    except values.OddValueError as error:
        raise BadValueError(f"have a gold_answer that is {error}") from None


def _read_metadata(fields: Mapping[str, Any], golds: list[str]) -> str | None:
    value = fields.get("metadata")
    if len(golds) > 1:
        if not isinstance(value, Mapping | None):
            raise BadValueError("have several gold answers and a metadata that is no object")
        value = {**(value or {}), KEY: golds}
    if value is None or isinstance(value, str):
        return None if value is None else _storable_text(value)
    try:
        return values.json_text(value)
    except values.OddValueError as error:
        raise BadValueError(f"have a metadata that is {error}") from None


def _storable_text(text: str) -> str:
    """Replace lone surrogates, which JSON can spell and parquet cannot hold."""
    return text.encode(errors="replace").decode()
