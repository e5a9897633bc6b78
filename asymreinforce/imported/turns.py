"""Read a completion that is a list of chat messages: take one turn of the assistant.

Several turns are never joined: with tool results or user messages between them, the joined text
would be a completion that no policy wrote.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from asymreinforce.config.source import Turns
from asymreinforce.imported.fields import BadValueError

TEXT = frozenset({"role", "content", "name", "id", "index", "type"})
"""Fields of a message that hold nothing besides its role and its text."""
LEFT_OUT: Mapping[str, str] = {
    "tool_calls": "tool calls",
    "function_call": "tool calls",
    "reasoning": "reasoning",
    "reasoning_content": "reasoning",
    "reasoning_details": "reasoning",
    "thinking": "reasoning",
    "images": "images",
    "audio": "audio",
    "refusal": "a refusal",
}
"""Fields of a message that hold more than text -> their contents, in words."""
PARTS: Mapping[str, str] = {
    "tool_use": "tool calls",
    "tool_call": "tool calls",
    "tool_result": "results of tools",
    "thinking": "reasoning",
    "reasoning": "reasoning",
    "image": "images",
    "image_url": "images",
    "input_image": "images",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
}
"""Types of content parts that are not text -> their contents, in words."""


class Turn(NamedTuple):
    """A turn of the assistant; `left_out` lists in words the contents that are not text."""

    text: str
    is_alone: bool
    is_last: bool
    left_out: tuple[str, ...]


def completion_of(messages: list[Any], turns: Turns | None) -> Turn:
    """Return the assistant's turn; `turns` says which if there are several.

    Raises `BadValueError` if there are several messages and `turns` is None, if no message is the
    assistant's or a message has no text, or if an empty text would hide contents left out.
    """
    if not all(isinstance(m, Mapping) and isinstance(m.get("role"), str) for m in messages):
        raise BadValueError("have a chat message without role and text")
    is_alone = len(messages) == 1
    # joined, several turns would be a text that no policy wrote
    if not is_alone and turns is None:
        raise BadValueError(
            "have a completion of several messages, which no policy wrote as one text; "
            "source.turns=first or last takes the assistant's first or last"
        )
    assistant_turns = [
        index for index, message in enumerate(messages) if message["role"] == "assistant"
    ]
    if not assistant_turns:
        raise BadValueError("have a completion without a message of the assistant")
    place = assistant_turns[0 if turns == "first" else -1]
    text, parts = _content_text(messages[place].get("content"))
    left_out = dict.fromkeys([*parts, *beside_text(messages[place])])
    # imported as empty, it would be a completion that the policy never wrote
    if left_out and not text.strip():
        raise BadValueError(f"have a completion of {' and '.join(left_out)} alone, without a text")
    return Turn(text, is_alone, place == len(messages) - 1, tuple(left_out))


def beside_text(message: Mapping[str, Any]) -> list[str]:
    """Return in words the contents of a message that are not text; empty values do not count."""
    fields = [key for key, value in message.items() if key not in TEXT and value]
    return [LEFT_OUT.get(key, "another field") for key in fields]


def _content_text(content: Any) -> tuple[str, list[str]]:
    """Return the text of a message's content, and in words its parts that are not text."""
    if isinstance(content, str):
        return content, []
    texts, others = [], []
    for part in content if isinstance(content, list) else []:
        text = part.get("text") if isinstance(part, Mapping) else None
        if isinstance(text, str) and part.get("type", "text") in ("text", "output_text"):
            texts.append(text)
        else:
            kind = part.get("type") if isinstance(part, Mapping) else None
            others.append(PARTS.get(kind, "another part") if isinstance(kind, str) else "a part")
    if not texts:
        raise BadValueError("have a chat message without role and text")
    return "".join(texts), others
