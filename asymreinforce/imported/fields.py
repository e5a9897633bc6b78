"""Read each field of a foreign row as the type that the field should have.

The functions return None if the field is absent, and raise `BadValueError` if it cannot be used.
In a file that has only texts, such as CSV, numbers and lists are JSON (`typed`). Fields that hold
texts are kept as written. An empty field is null, except for a completion.
"""

import math
import numbers
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from asymreinforce.data import json_rows, values
from asymreinforce.data.contracts import FinishReason
from asymreinforce.data.gold_answers import KEY, texts_of

Messages = tuple[tuple[str, str], ...]
"""The messages of a chat in order, each (role, content)."""

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
"""The names of engines and services -> how a completion ended; True means truncated."""

TEXTS = frozenset(
    {"completion", "question", "prompt_id", "gold_answer", "policy", "level", "subject", "metadata"}
)
WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "null": None, "nan": None}
"""The words of pandas and other programs for truth values and null, in lower case."""

LARGEST_REWARD = 1e9
"""Larger rewards are sentinels or overflow, and would make the mean reward meaningless."""


class BadValueError(Exception):
    """A field cannot be used; the message continues a sentence that begins with `n rows`."""


def read_question(value: Any, prompt_token_ids: Any) -> str | Messages | None:
    """Return a question as a text or a chat; None if the row has only its token ids."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if values.is_messages(value):
        return tuple((role, storable_text(content)) for role, content in _chat_messages(value))
    text = field_text({"question": value}, "question")
    if not text and prompt_token_ids is None:
        raise BadValueError("have no question")
    return text or None


def _chat_messages(value: list[dict[str, Any]]) -> Messages:
    try:
        return values.messages_of(value)
    except values.OddValueError as error:
        raise BadValueError(f"have {error}") from None


def number_array(value: Any, what: str, *, integer: bool) -> np.ndarray | None:
    """Return a list of numbers as an array, of `int32` (token ids) if `integer`, else `float32`."""
    if value is None:
        return None
    # bool is a subclass of int
    kinds = int if integer else (int, float)
    if not isinstance(value, list) or any(
        isinstance(item, bool) or not isinstance(item, kinds) for item in value
    ):
        raise BadValueError(f"have {what} that are not a list of numbers")
    # token ids are stored as int32
    if integer and value and not (min(value) >= 0 and max(value) < 2**31):
        raise BadValueError(f"have negative or impossible {what}")
    try:
        return np.array(value, dtype=np.int32 if integer else np.float32)
    except OverflowError:
        raise BadValueError(f"have {what} that are out of range") from None


def read_logps(value: Any, token_ids: np.ndarray | None) -> np.ndarray | None:
    """Return the log-probabilities of a completion's tokens, one for each token."""
    if value is None:
        return None
    if token_ids is None:
        raise BadValueError("have log-probabilities, but no token ids that they belong to")
    if isinstance(value, list) and any(item is None for item in value):
        raise BadValueError("have a log-probability that is null")
    logps = number_array(value, "log-probabilities", integer=False)
    assert logps is not None
    if len(logps) != len(token_ids):
        raise BadValueError("have another number of log-probabilities than of tokens")
    if not np.isfinite(logps).all():
        raise BadValueError("have a log-probability that is not finite")
    if (logps > 1e-3).any():
        raise BadValueError("have a log-probability above 0 (probabilities, perhaps)")
    return logps


def read_reward(value: Any) -> float | None:
    """Return a reward as a number; a truth value becomes 0 or 1."""
    if value is None:
        return None
    if not isinstance(value, numbers.Real | Decimal):
        raise BadValueError("have a reward that is no number")
    try:
        reward = float(value)
    except OverflowError:  # JSON can hold an integer of 400 digits
        reward = math.inf
    if abs(reward) > LARGEST_REWARD:
        raise BadValueError(f"have a reward beyond {LARGEST_REWARD:g} in size")
    return reward


def read_finish_reason(value: Any) -> FinishReason | None:
    """Return how a completion ended: "stop" or "length"."""
    if value is None:
        return None
    if not isinstance(value, str | bool) or value not in FINISH_REASONS:
        raise BadValueError(f"have a finish reason that is not known, such as {str(value)[:40]!r}")
    return FINISH_REASONS[value]


def read_sample(value: Any) -> int | None:
    """Return the sample number of a row."""
    if value is None:
        return None
    # `source_sample` is stored as int64
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise BadValueError("have a sample number that is no whole number")
    return value


def field_text(fields: Mapping[str, Any], name: str) -> str | None:
    """Return a field as a text by the rules of `data/values.py`; a list of one item is the item."""
    try:
        text = values.one_text_of(fields.get(name))
    except values.OddValueError as error:
        raise BadValueError(f"have a {name} that is {error}") from None
    return None if text is None else storable_text(text)


def read_policy(fields: Mapping[str, Any]) -> str | None:
    """Return the name of the policy that wrote a row; a number N becomes `step-N`."""
    # logs of trainers name the policy by the number of its training step
    name = field_text(fields, "policy")
    return f"step-{name}" if name and isinstance(fields["policy"], int) else name


def read_gold_answers(fields: Mapping[str, Any]) -> list[str]:
    """Return the accepted answers of a row, whose gold answer is a text or a list of texts."""
    try:
        return texts_of(fields.get("gold_answer"))
    except values.OddValueError as error:
        raise BadValueError(f"have a gold_answer that is {error}") from None


def read_metadata(fields: Mapping[str, Any], golds: list[str]) -> str | None:
    """Return metadata as JSON, with the gold answers in it if there are several."""
    value = fields.get("metadata")
    if len(golds) > 1:
        if not isinstance(value, Mapping | None):
            raise BadValueError("have several gold answers and a metadata that is no object")
        value = {**(value or {}), KEY: golds}
    if value is None or isinstance(value, str):
        return None if value is None else storable_text(value)
    try:
        return values.json_text(value)
    except values.OddValueError as error:
        raise BadValueError(f"have a metadata that is {error}") from None


def storable_text(text: str) -> str:
    """Replace lone surrogates, which JSON can spell and parquet cannot hold."""
    return text.encode(errors="replace").decode()


def without_empty(texts: Mapping[str, str]) -> dict[str, str | None]:
    """Return a row's values, with None for empty texts."""
    return {name: text if text.strip() else None for name, text in texts.items()}


def typed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's fields with numbers, lists and truth values in place of their texts.

    A text that cannot be parsed is kept; the reader of the field then refuses it by name.
    """
    parsed = {name: text if name in TEXTS else _parsed_text(text) for name, text in fields.items()}
    # not null, so that an empty completion is counted as an empty completion
    return parsed if "completion_token_ids" in parsed else {"completion": "", **parsed}


def _parsed_text(text: Any) -> Any:
    word = text.strip().lower()
    if word in WORDS:
        return WORDS[word]
    try:
        return json_rows.parse_json(text)
    except (ValueError, RecursionError):
        return text
