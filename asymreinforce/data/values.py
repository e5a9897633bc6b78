"""Convert values from outside to texts, messages and JSON: exactly as written, or not at all.

All values from outside pass through here: rows of tasks, results of a user's functions, imports,
gold answers and prompts. A value that is no text and no number is refused, since Python's or JSON's
spelling of it would be a text that nobody wrote.
"""

import datetime
import json
import math
import numbers
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

# Python refuses to print or read whole numbers of more than 4,300 digits.
MOST_DIGITS = 4_000
"""Digits of a whole number, at most."""
LARGEST = 10**MOST_DIGITS


class OddValueError(Exception):
    """A value cannot be converted; the message completes the sentence `it is ...`."""


class WrittenFloat(float):
    """A number of a JSON file that keeps its written digits, such as 1.50 or 1e400."""

    written: str

    def __new__(cls, written: str) -> "WrittenFloat":
        """Parse the digits; a number beyond a float's range compares as infinite."""
        number = super().__new__(cls, written)
        number.written = written
        return number


class Message(NamedTuple):
    """One message of a chat."""

    role: str
    content: str


def text_of(value: Any) -> str | None:
    """Return a text unchanged, a number in its written digits, or text parts joined.

    Returns None for null and for a number that is not finite. Raises `OddValueError` for any other
    value.
    """
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if _is_number(value):
        return number_text(value)
    if is_parts(value):
        return "".join(map(_part_text, value))
    raise OddValueError(f"{kind_of(value)}, not a text or a number")


def one_text_of(value: Any) -> str | None:
    """Return `text_of` a value, or of the only item of a list."""
    # lm-evaluation-harness wraps targets in a list
    is_wrapped = isinstance(value, list) and len(value) == 1 and not isinstance(value[0], dict)
    return text_of(value[0] if is_wrapped else value)


def number_text(value: Any) -> str | None:
    """Return a number's exact digits; None if the number is not finite.

    Raises `OddValueError` for a whole number of more than 4,000 digits.
    """
    if isinstance(value, WrittenFloat):
        return value.written
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() else None
    if isinstance(value, numbers.Rational):
        if not (-LARGEST < value.numerator < LARGEST and value.denominator < LARGEST):
            raise OddValueError(f"a number of more than {MOST_DIGITS:,} digits")
        return str(value)
    if not math.isfinite(value):
        return None
    # numpy prints a 16- or 32-bit float in the shortest digits that identify it in its precision
    return repr(float(value)) if isinstance(value, float) else str(value)


def is_parts(value: Any) -> bool:
    """Tell whether a value is a message's content in parts: `[{"type": "text", "text": ...}]`."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(_is_object(part) and "type" in part and part.get("role") is None for part in value)
    )


def is_messages(value: Any) -> bool:
    """Tell whether a value is meant as a chat: a list with an object that is no list of parts."""
    return isinstance(value, list) and any(map(_is_object, value)) and not is_parts(value)


def messages_of(value: Any) -> tuple[Message, ...]:
    """Return a chat's messages, with the text parts of each content joined.

    Raises `OddValueError`, naming the message, if a message lacks a role or a text.
    """
    return tuple(_parse_message(item, number) for number, item in enumerate(value, start=1))


def prompt_of(value: Any) -> tuple[Message, ...]:
    """Return the messages of a chat that ends with the user's message.

    Raises `OddValueError` for any other value.
    """
    messages = messages_of(value)
    # A chat that ends with an answer asks nothing.
    if messages[-1].role != "user":
        raise OddValueError(
            f"a chat whose last message is of the {messages[-1].role}, not the user"
        )
    return messages


def require_storable(text: str | None) -> str | None:
    """Return the text; raise `OddValueError` if it holds half a surrogate pair."""
    # Such a text has no UTF-8 encoding, so that no file can hold it.
    if text is not None and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise OddValueError("a text that is no valid Unicode (half a surrogate pair)")
    return text


def json_text(value: Any) -> str:
    """Return JSON with sorted keys, numbers in their written digits and dates as ISO texts.

    Numbers that are not finite become null. Raises `OddValueError` for a value that JSON cannot
    hold.
    """
    try:
        return _to_json(value)
    except RecursionError:
        raise OddValueError("an object that is nested too deeply") from None


def is_missing(value: Any) -> bool:
    """Tell whether a value is None or a number that is not finite as written."""
    return value is None or (_is_number(value) and number_text(value) is None)


def finite_or_none(number: float | None) -> float | None:
    """Return the number, or None (JSON's null) if it is not finite."""
    return number if number is not None and math.isfinite(number) else None


def kind_of(value: Any) -> str:
    """Return the kind of a value in words, for a message."""
    names = {"dict": "an object", "list": "a list", "bool": "a truth value", "NoneType": "null"}
    return names.get(type(value).__name__, f"a {type(value).__name__}")


def _to_json(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return json.dumps(value)
    if _is_number(value):
        return number_text(value) or "null"
    if isinstance(value, datetime.date | datetime.time):
        return json.dumps(value.isoformat())
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise OddValueError("an object with a key that is no text")
        return (
            "{" + ", ".join(f"{json.dumps(k)}: {_to_json(value[k])}" for k in sorted(value)) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_to_json, value)) + "]"
    raise OddValueError(f"{kind_of(value)}, which JSON cannot hold")


def _is_number(value: Any) -> bool:
    # Decimal is no numbers.Real in Python, and bool is one.
    return isinstance(value, numbers.Real | Decimal) and not isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _part_text(part: Mapping[str, Any]) -> str:
    if part["type"] != "text" or not isinstance(part.get("text"), str):
        raise OddValueError(f"a content with a part of type {part['type']!r}, not a text")
    return str(part["text"])


def _parse_message(item: Any, number: int) -> Message:
    if not _is_object(item):
        raise OddValueError(f"a chat whose message {number} is {kind_of(item)}, not an object")
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or not (isinstance(content, str) or is_parts(content)):
        raise OddValueError(f"a chat message without role and text (message {number})")
    return Message(role, text_of(content) or "")
