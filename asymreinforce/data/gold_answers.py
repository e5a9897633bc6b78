"""Several accepted answers to a question, each of which is correct.

The first accepted answer is the question's gold answer. The prompt's metadata holds all of them
under `KEY`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from asymreinforce.data import values

KEY = "gold_answers"


def texts_of(value: Any) -> list[str]:
    """Return the accepted answers in a value from outside: a text, a number, or a list of these.

    Nulls are left out. Raises `OddValueError` for any other value, and for an empty list.
    """
    # a content in text parts is a list too, but one answer
    is_list = isinstance(value, list | tuple) and not values.is_parts(value)
    if is_list and not value:
        raise values.OddValueError("an empty list")
    texts = [
        values.require_storable(values.text_of(item)) for item in (value if is_list else [value])
    ]
    return [text for text in texts if text is not None]


def with_accepted(metadata: Mapping[str, Any] | None, golds: Sequence[str]) -> Any:
    """Return the metadata, with the accepted answers if there are several."""
    # Prompts with one answer keep the bytes that they had before lists of answers existed.
    return {**(metadata or {}), KEY: [*golds]} if len(golds) > 1 else metadata


def accepted_answers(metadata: str | None, gold_answer: str) -> list[str]:
    """Return the accepted answers of a question, the gold answer first."""
    if metadata is None or f'"{KEY}"' not in metadata:  # spares parsing in the common case
        return [gold_answer]
    parsed = json.loads(metadata)
    golds = parsed.get(KEY) if isinstance(parsed, dict) else None
    if not (isinstance(golds, list) and all(isinstance(gold, str) for gold in golds)):
        return [gold_answer]
    return list(dict.fromkeys([gold_answer, *golds]))
