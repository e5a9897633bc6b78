"""Several accepted answers to a question, of which any is right.

The first of them is the question's gold answer; all stand in its metadata, under `KEY`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from asymreinforce.data import values

KEY = "gold_answers"


def texts_of(value: Any) -> list[str]:
    """Return the accepted answers of a value from outside: of a text or number, or a list of them.

    Nulls are left out. Raises `OddValueError` for anything else, an empty list among it.
    """
    is_list = isinstance(value, list | tuple) and not values.is_parts(value)
    if is_list and not value:
        raise values.OddValueError("an empty list")
    texts = [
        values.require_storable(values.text_of(item)) for item in (value if is_list else [value])
    ]
    return [text for text in texts if text is not None]


def with_accepted(metadata: Mapping[str, Any] | None, golds: Sequence[str]) -> Any:
    """Return metadata that holds the accepted answers if there are several."""
    return {**(metadata or {}), KEY: [*golds]} if len(golds) > 1 else metadata


def accepted_answers(metadata: str | None, gold_answer: str) -> list[str]:
    """Return the accepted answers of a question, the gold answer first."""
    if metadata is None or f'"{KEY}"' not in metadata:
        return [gold_answer]
    parsed = json.loads(metadata)
    golds = parsed.get(KEY) if isinstance(parsed, dict) else None
    if not (isinstance(golds, list) and all(isinstance(gold, str) for gold in golds)):
        return [gold_answer]
    return list(dict.fromkeys([gold_answer, *golds]))
