"""A completion that came as chat messages: the assistant's one turn, never several joined.

What a policy wrote in one turn is a completion. A chat of several turns, with results of tools or a
user's words between them, is none: joined, it would be a text that nobody wrote.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from asymreinforce.config.source import Turns

TEXT = frozenset({"role", "content", "name", "id", "index", "type"})
"""Fields of a message that say no more than who said which text."""
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
"""Fields that hold more, in words."""
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
"""Types of content parts that are no text, in words."""


class BadTurnsError(Exception):
    """Messages that hold no completion; the text follows `n rows`."""


class Turn(NamedTuple):
    """The turn of an assistant; `left_out` says in words what its message held beside the text."""

    text: str
    is_alone: bool
    is_last: bool
    left_out: tuple[str, ...]


def completion_of(messages: list[Any], turns: Turns | None) -> Turn:
    """Return the assistant's one turn, or the one of several that `turns` takes.

    Raises `BadTurnsError` if there are several messages and no word of which to take, no message of
    the assistant with a text, or an empty text beside what would be left out.
    """
    if not all(isinstance(m, Mapping) and isinstance(m.get("role"), str) for m in messages):
        raise BadTurnsError("have a chat message without role and text")
    is_alone = len(messages) == 1
    if not is_alone and turns is None:
        raise BadTurnsError(
            "have a completion of several messages, which no policy wrote as one text; "
            "source.turns=first or last takes the assistant's first or last"
        )
    assistant_turns = [
        index for index, message in enumerate(messages) if message["role"] == "assistant"
    ]
    if not assistant_turns:
        raise BadTurnsError("have a completion without a message of the assistant")
    place = assistant_turns[0 if turns == "first" else -1]
    text, parts = _content_text(messages[place].get("content"))
    left_out = dict.fromkeys([*parts, *beside_text(messages[place])])
    if left_out and not text.strip():
        raise BadTurnsError(f"have a completion of {' and '.join(left_out)} alone, without a text")
    return Turn(text, is_alone, place == len(messages) - 1, tuple(left_out))


def beside_text(message: Mapping[str, Any]) -> list[str]:
    """Say in words what a message holds beside its content; empty values hold nothing."""
    fields = [key for key, value in message.items() if key not in TEXT and value]
    return [LEFT_OUT.get(key, "another field") for key in fields]


def _content_text(content: Any) -> tuple[str, list[str]]:
    """Return a content's text, and what its parts hold beside it."""
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
        raise BadTurnsError("have a chat message without role and text")
    return "".join(texts), others
