"""Turn questions into prompts, by the model's chat template or, if it has none, as plain text.

A *rendering* is text that the template wrote, in which special tokens are special. A question's
text stays text: the name of a special token in the question is replaced by a shield while the
template renders, and then encoded letter by letter.

    question -> messages -> chat template -> text with shields -> token ids
    whole prompt: a rendering that came from elsewhere -> token ids

A begin-of-sequence token is added if the prompt does not begin with it. Nothing is added at the
end.
"""

import functools
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.task import TaskConfig
from asymreinforce.data.values import OddValueError, kind_of, messages_of
from asymreinforce.errors import InputError
from asymreinforce.model.chat_template import ChatTemplate, Markup, Messages, UnrenderableError
from asymreinforce.plugins import is_plugin, load_function

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VERSION = 3
"""Version of the rules by which questions and whole prompts become tokens, and of the choice of end
tokens; raise it with every change of either."""
TOKENS = "imported_prompt_token_ids"
"""Key in a row's metadata: token ids of an imported prompt that is held back for evaluation."""

OPEN, CLOSE = "\ue000", "\ue001"
"""Private-use characters around a shield's number; in data these characters are shielded too."""
SHIELDED = re.compile(f"{OPEN}(\\d+){CLOSE}")


class Rendering(NamedTuple):
    """A prompt's text; without chat, the tokenizer's first tokens are still to be added."""

    text: str
    is_chat: bool


class Shields:
    """Numbered pieces of one prompt's data that must not be read as special tokens."""

    def __init__(self, names: re.Pattern[str]):
        self._names = names
        self.pieces: list[str] = []

    def shield(self, text: str) -> str:
        """Replace the name of every special token in a text by a numbered shield."""
        return self._names.sub(self._number_piece, text)

    def _number_piece(self, match: re.Match[str]) -> str:
        self.pieces.append(match[0])
        return f"{OPEN}{len(self.pieces) - 1}{CLOSE}"


class PromptError(InputError):
    """A question that cannot become a prompt; `reason` says why without naming the row."""

    def __init__(self, row: Mapping[str, Any], reason: str):
        super().__init__(f"prompt {row['prompt_id']}: {reason}")
        self.reason = reason


class PromptEncoder:
    """Encodes a task's questions for one tokenizer."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", task: TaskConfig):
        self._tokenizer, self._task = tokenizer, task
        self._special = special_names(tokenizer)
        self._beginning = _text_beginning(tokenizer)
        self.template = ChatTemplate(tokenizer, date=task.date, arguments=task.chat_arguments)
        self.markup = Markup(tokenizer, self.template, self._special)

    def encode(self, row: Mapping[str, Any]) -> list[int]:
        """Return a question's token ids; `row` has the columns of the PROMPTS contract.

        Raises `PromptError`, which names the row, if the chat template refuses the messages or
        leaves out a message, and `InputError` if a user's template fails.
        """
        if (tokens_T := _read_metadata(row).get(TOKENS)) is not None:
            return self._imported_tokens(tokens_T, row)
        shields = Shields(self._special)
        rendering = self._render_question(row, shields)
        tokens: list[int] = []
        for index, part in enumerate(SHIELDED.split(rendering.text)):
            if index % 2:  # split with one group: odd parts are the shields' numbers
                tokens += _as_text(shields.pieces[int(part)], self._tokenizer, row)
            elif part:
                tokens += self._tokenizer.encode(part, add_special_tokens=False)
        return tokens if rendering.is_chat else _with_beginning(tokens, self._beginning)

    def encode_whole(self, text: str) -> list[int]:
        """Return the token ids of a whole prompt, a text that some template has already written.

        Special tokens in the text are special. A rendering of this tokenizer's own chat template
        begins with the template's first token, any other text with the tokenizer's.
        """
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return _with_beginning(
            tokens, self._chat_beginning if self.markup.is_rendered(text) else self._beginning
        )

    def renders_twice(self, row: Mapping[str, Any]) -> bool:
        """Return whether a question looks as if a template had already rendered it.

        The text is the question, or the text that a user's template makes of it.
        """
        if TOKENS in _read_metadata(row):
            return False
        template = self._task.template
        written = _call_user_template(template, row) if is_plugin(template) else row["question"]
        return isinstance(written, str) and self.markup.looks_rendered(written)

    @property
    def unused_settings(self) -> list[str]:
        """Messages on the settings that should be part of prompts but are not, each with why."""
        task = self._task
        given = [name for name in ("system", "instruction") if getattr(task, name)]
        if is_plugin(task.template):
            reason = f"task.template={task.template} makes the whole prompt"
        elif has_chat(self._tokenizer, task):
            return []
        else:
            given = [name for name in given if f"{{{name}}}" not in task.template]
            reason = "without a chat template prompts are task.template, which does not hold it"
        return [f"task.{name} is in no prompt: {reason}" for name in given]

    @functools.cached_property
    def _chat_beginning(self) -> list[int]:
        first, frame = self._tokenizer.bos_token, self.template.frame
        begins = bool(first and frame and frame.before.startswith(str(first)))
        return [int(self._tokenizer.bos_token_id)] if begins else []

    def _imported_tokens(self, tokens_T: Any, row: Mapping[str, Any]) -> list[int]:
        """Return the token ids that an import kept in a row's metadata."""
        # checked, because a file may hold anything under this key
        known = range(len(self._tokenizer))
        if not isinstance(tokens_T, list) or not all(
            type(t) is int and t in known for t in tokens_T
        ):
            raise PromptError(row, f"{TOKENS} in its metadata are no tokens of this tokenizer")
        return tokens_T

    def _render_question(self, row: Mapping[str, Any], shields: Shields) -> Rendering:
        task = self._task
        if is_plugin(task.template):
            written = _call_user_template(task.template, row)
            if isinstance(written, str):
                return Rendering(shields.shield(written), is_chat=False)
            return Rendering(self._render_chat(written, row, shields), is_chat=True)
        messages = _chat_messages(row, task)
        if has_chat(self._tokenizer, task):
            return Rendering(self._render_chat(messages, row, shields), is_chat=True)
        return Rendering(_render_plain(row, task, shields), is_chat=False)

    def _render_chat(self, messages: Messages, row: Mapping[str, Any], shields: Shields) -> str:
        if not self._tokenizer.chat_template:
            raise InputError(
                f"task.template={self._task.template} returns messages, but this model's tokenizer "
                "has no chat template; return a text instead"
            )
        shielded = [{**m, "content": shields.shield(m["content"])} for m in messages]
        try:
            return self.template.render(shielded)
        except UnrenderableError as error:
            raise PromptError(row, str(error)) from error


def identity_of(config: ExperimentConfig) -> dict[str, Any]:
    """Return the settings that decide how a question becomes a prompt, for identities."""
    # The embedded policy's tokenizer has no chat template and adds no token, so no version has
    # changed its prompts or its end token.
    version = {} if config.policy.source == "embedded" else {"version": VERSION}
    return {**config.task.rendering, **version}


def special_names(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    """Return a pattern of the names that a tokenizer would read as special tokens."""
    names = {*tokenizer.all_special_tokens, OPEN, CLOSE}
    names |= {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    # the longest first, because `|` takes the first alternative that matches
    longest_first = sorted(filter(None, names), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))


def has_chat(tokenizer: "PreTrainedTokenizerBase", task: TaskConfig) -> bool:
    """Return whether prompts of a task use the tokenizer's chat template."""
    return task.chat == "auto" and bool(tokenizer.chat_template)


def _chat_messages(row: Mapping[str, Any], task: TaskConfig) -> Messages:
    """Return the messages in a row's metadata, or its question as a single user message."""
    messages: Messages = _read_metadata(row).get("messages") or [
        {"role": "user", "content": row["question"]}
    ]
    if task.instruction:
        last = messages[-1]
        messages = [*messages[:-1], {**last, "content": f"{last['content']}\n{task.instruction}"}]
    if task.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": task.system}, *messages]
    return messages


def _read_metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's metadata, empty if it is no JSON object: other programs may store any text."""
    try:
        values = json.loads(row.get("metadata") or "{}")
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def with_tokens(metadata: str | None, token_ids: list[int], *, where: str) -> str:
    """Return a row's metadata with the token ids of its whole prompt added.

    Raises `InputError` if the metadata is no JSON object, so that nothing can be added.
    """
    values = _read_metadata({"metadata": metadata})
    if metadata and not values and metadata.strip() != "{}":
        raise InputError(
            f"{where}: the metadata of a prompt that is held back is no JSON object, in which the "
            "tokens of its prompt could be kept; leave the column out, or hold no prompt back"
        )
    return json.dumps({**values, TOKENS: token_ids}, sort_keys=True)


def _render_plain(row: Mapping[str, Any], task: TaskConfig, shields: Shields) -> str:
    values = {
        "{question}": shields.shield(row["question"]),
        "{instruction}": task.instruction or "",
        "{system}": task.system or "",
    }
    # in one pass, so that the text {instruction} in a question is not replaced
    return re.sub("|".join(map(re.escape, values)), lambda match: values[match[0]], task.template)


def _call_user_template(name: str, row: Mapping[str, Any]) -> str | Messages:
    function = load_function(name)
    try:
        returned = function(dict(row))
    except Exception as error:  # a user's function may fail in any way
        raise InputError(
            f"task.template={name} fails on prompt {row['prompt_id']} "
            f"({type(error).__name__}: {error})"
        ) from error
    if isinstance(returned, str):
        return returned
    try:
        return [message._asdict() for message in messages_of(list(returned))]
    except (TypeError, OddValueError) as error:
        raise InputError(
            f"task.template={name} must return a text, or messages with role and content; of "
            f"prompt {row['prompt_id']} it returned {kind_of(returned)} ({error})"
        ) from error


def _as_text(piece: str, tokenizer: "PreTrainedTokenizerBase", row: Mapping[str, Any]) -> list[int]:
    tokens: list[int] = tokenizer.encode(piece, add_special_tokens=False, split_special_tokens=True)
    if {*tokens} & {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}:
        raise PromptError(
            row,
            f"holds {piece!r}, which this tokenizer cannot read as anything but its special "
            "token; leave the prompt out",
        )
    return tokens


def _with_beginning(tokens: list[int], beginning: list[int]) -> list[int]:
    """Return tokens with `beginning` in front, unless they are empty or begin with it already."""
    stands = not tokens or tokens[: len(beginning)] == beginning
    return tokens if stands else [*beginning, *tokens]


def _text_beginning(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return the tokens that a tokenizer puts before every text: its begin token, or none."""
    first = tokenizer.bos_token_id
    bare: list[int] = tokenizer.encode("a", add_special_tokens=False)
    added: list[int] = tokenizer.encode("a", add_special_tokens=True)
    # compared with "a" after it: a tokenizer may add the same token only at the end
    begins = first is not None and added[: 1 + len(bare)] == [first, *bare]
    return [first] if begins else []
