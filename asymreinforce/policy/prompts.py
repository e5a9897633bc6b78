"""Questions as prompts: the model's own chat template, or a plain text where it has none.

A *rendering* is text that the template wrote, in which special tokens are special. What a question
brings stays text: a special token's name in it is shielded while the template is rendered, and
encoded as the letters that it is.

    question -> messages -> chat template -> text with shields -> token ids, no token twice
"""

import datetime
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce.config.task import TaskConfig
from asymreinforce.data.values import OddValueError, kind_of, messages_of
from asymreinforce.errors import InputError
from asymreinforce.plugins import is_plugin, load_function

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]

OPEN, CLOSE = "\ue000", "\ue001"
"""Around the number of a shielded piece: private-use characters, shielded themselves in data."""
SHIELDED = re.compile(f"{OPEN}(\\d+){CLOSE}")


class Rendering(NamedTuple):
    """A prompt's text; a plain one still lacks the tokens that the tokenizer begins with."""

    text: str
    is_chat: bool


class Shields:
    """The pieces of one prompt's data that must not be read as special tokens, by number."""

    def __init__(self, names: re.Pattern[str]):
        self._names = names
        self.pieces: list[str] = []

    def shield(self, text: str) -> str:
        """Replace every special token's name in a text of data by a numbered mark."""
        return self._names.sub(self._mark, text)

    def _mark(self, match: re.Match[str]) -> str:
        self.pieces.append(match[0])
        return f"{OPEN}{len(self.pieces) - 1}{CLOSE}"


class PromptEncoder:
    """Encodes a task's questions for one tokenizer, whose special tokens it looks up once."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", task: TaskConfig):
        self._tokenizer, self._task = tokenizer, task
        self._special = special_names(tokenizer)
        self._beginning = _beginning(tokenizer)

    def encode(self, row: Mapping[str, Any]) -> list[int]:
        """Return a question's token ids; `row` has the columns of the prompts' contract.

        Raises `InputError` where the chat template refuses the messages, or a user's template
        fails.
        """
        shields = Shields(self._special)
        rendering = _render(row, self._tokenizer, self._task, shields)
        tokens: list[int] = []
        for index, part in enumerate(SHIELDED.split(rendering.text)):
            if index % 2:
                tokens += _as_text(shields.pieces[int(part)], self._tokenizer, row)
            elif part:
                tokens += self._tokenizer.encode(part, add_special_tokens=False)
        begins = tokens[: len(self._beginning)] == self._beginning
        return tokens if rendering.is_chat or begins or not tokens else [*self._beginning, *tokens]


def special_names(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    """Return a pattern of the names that a tokenizer would read as special tokens."""
    names = {*tokenizer.all_special_tokens, OPEN, CLOSE}
    names |= {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    longest_first = sorted(filter(None, names), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))


def has_chat(tokenizer: "PreTrainedTokenizerBase", task: TaskConfig) -> bool:
    """Tell whether prompts of a task go through the tokenizer's chat template."""
    return task.chat == "auto" and bool(tokenizer.chat_template)


def _render(
    row: Mapping[str, Any],
    tokenizer: "PreTrainedTokenizerBase",
    task: TaskConfig,
    shields: Shields,
) -> Rendering:
    if is_plugin(task.template):
        own = _own_template(task.template, row)
        if isinstance(own, str):
            return Rendering(shields.shield(own), is_chat=False)
        return Rendering(_chat(_shielded(own, shields), tokenizer, task, row), is_chat=True)
    messages = _messages(row, task)
    if has_chat(tokenizer, task):
        return Rendering(_chat(_shielded(messages, shields), tokenizer, task, row), is_chat=True)
    return Rendering(_plain(row, task, shields), is_chat=False)


def _messages(row: Mapping[str, Any], task: TaskConfig) -> Messages:
    """Return the chat that a row brings with it, or its question as the user's one message."""
    brought = json.loads(row["metadata"]).get("messages") if row.get("metadata") else None
    messages: Messages = brought or [{"role": "user", "content": row["question"]}]
    if task.instruction:
        last = messages[-1]
        messages = [*messages[:-1], {**last, "content": f"{last['content']}\n{task.instruction}"}]
    if task.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": task.system}, *messages]
    return messages


def _plain(row: Mapping[str, Any], task: TaskConfig, shields: Shields) -> str:
    values = {
        "{question}": shields.shield(row["question"]),
        "{instruction}": task.instruction or "",
        "{system}": task.system or "",
    }
    # in one pass, so that a question that holds {instruction} keeps it
    return re.sub("|".join(map(re.escape, values)), lambda match: values[match[0]], task.template)


def _shielded(messages: Messages, shields: Shields) -> Messages:
    return [{**m, "content": shields.shield(m["content"])} for m in messages]


def _chat(
    messages: Messages,
    tokenizer: "PreTrainedTokenizerBase",
    task: TaskConfig,
    row: Mapping[str, Any],
) -> str:
    if not tokenizer.chat_template:
        raise InputError(
            f"task.template={task.template} returns messages, but this model's tokenizer has no "
            "chat template; return a text instead"
        )
    try:
        text: str = tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=True,
            strftime_now=_fixed_date(task.date),
            **task.chat_arguments,
        )
    except Exception as error:  # jinja's errors, and whatever a template raises by itself
        roles = ", ".join(message["role"] for message in messages)
        raise InputError(
            f"prompt {row['prompt_id']}: the chat template refuses messages of {roles} "
            f"({type(error).__name__}: {error}); set task.system=null where it knows no system "
            "prompt, or task.chat=never for a plain prompt"
        ) from error
    return text


def _fixed_date(date: str) -> Callable[[str], str]:
    """Stand in for a template's clock: a prompt that changes by the day is none to compare by."""
    day = datetime.date.fromisoformat(date)
    return day.strftime


def _own_template(name: str, row: Mapping[str, Any]) -> str | Messages:
    function = load_function(name)
    try:
        found = function(dict(row))
    except Exception as error:  # a user's function may fail in any way
        raise InputError(
            f"task.template={name} fails on prompt {row['prompt_id']} "
            f"({type(error).__name__}: {error})"
        ) from error
    if isinstance(found, str):
        return found
    try:
        return [message._asdict() for message in messages_of(list(found))]
    except (TypeError, OddValueError) as error:
        raise InputError(
            f"task.template={name} must return a text, or messages with role and content; of "
            f"prompt {row['prompt_id']} it returned {kind_of(found)} ({error})"
        ) from error


def _as_text(piece: str, tokenizer: "PreTrainedTokenizerBase", row: Mapping[str, Any]) -> list[int]:
    tokens: list[int] = tokenizer.encode(piece, add_special_tokens=False, split_special_tokens=True)
    if {*tokens} & {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}:
        raise InputError(
            f"prompt {row['prompt_id']} holds {piece!r}, which this tokenizer cannot read as "
            "anything but its special token; leave the prompt out"
        )
    return tokens


def _beginning(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return what the tokenizer puts before every text: its begin-of-sequence token, or nothing."""
    first = tokenizer.bos_token_id
    added: list[int] = tokenizer.encode("", add_special_tokens=True)
    return [first] if first is not None and added[:1] == [first] else []
