"""The values of a file that has texts alone, such as CSV: numbers and lists as JSON spells them.

A field that is a text stays as it is written. An empty one is null, but for a completion.
"""

from collections.abc import Mapping
from typing import Any

from asymreinforce.data import json_rows

TEXTS = frozenset(
    {"completion", "question", "prompt_id", "gold_answer", "policy", "level", "subject", "metadata"}
)
WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "null": None, "nan": None}
"""What pandas and others write for truth values and for null, in any case."""


def without_empty(values: Mapping[str, str]) -> dict[str, str | None]:
    """Return a row's values, null for empty ones."""
    return {name: text if text.strip() else None for name, text in values.items()}


def typed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's fields with numbers, lists and truth values in place of their texts.

    A text that is none stays a text, which whoever reads the field refuses by its name.
    """
    found = {name: text if name in TEXTS else _value(text) for name, text in fields.items()}
    # an empty completion is one, and is counted as such
    return found if "completion_token_ids" in found else {"completion": "", **found}


def _value(text: Any) -> Any:
    word = text.strip().lower()
    if word in WORDS:
        return WORDS[word]
    try:
        return json_rows.parse_json(text)
    except (ValueError, RecursionError):
        return text
