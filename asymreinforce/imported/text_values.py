"""Read the values of a file that has only texts, such as CSV: numbers and lists are JSON.

Fields that hold texts are kept as written. An empty field is null, except for a completion.
"""

from collections.abc import Mapping
from typing import Any

from asymreinforce.data import json_rows

TEXTS = frozenset(
    {"completion", "question", "prompt_id", "gold_answer", "policy", "level", "subject", "metadata"}
)
WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "null": None, "nan": None}
"""The words of pandas and other programs for truth values and null, in lower case."""


def without_empty(values: Mapping[str, str]) -> dict[str, str | None]:
    """Return a row's values, with None for empty texts."""
    return {name: text if text.strip() else None for name, text in values.items()}


def typed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's fields with numbers, lists and truth values in place of their texts.

    A text that cannot be parsed is kept; the reader of the field then refuses it by name.
    """
    found = {name: text if name in TEXTS else _value(text) for name, text in fields.items()}
    # not null, so that an empty completion is counted as an empty completion
    return found if "completion_token_ids" in found else {"completion": "", **found}


def _value(text: Any) -> Any:
    word = text.strip().lower()
    if word in WORDS:
        return WORDS[word]
    try:
        return json_rows.parse_json(text)
    except (ValueError, RecursionError):
        return text
