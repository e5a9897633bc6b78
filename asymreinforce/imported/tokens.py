"""Tokenise foreign rows with a checkpoint's tokenizer, and check that tokens decode to the text.

Token ids of a row are kept as they are. In a whole prompt, which a template has written, the names
of special tokens become these tokens; elsewhere they stay text. A completion that had ended gets
an end token, because the policy is to learn to end. This is the token whose name the text ends
with, else the chat template's end of turn, or end of sequence if the prompt is not a chat.
"""

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.contracts import FinishReason
from asymreinforce.imported.fields import BadValueError, Messages
from asymreinforce.imported.problems import Problems
from asymreinforce.imported.rows import ForeignRow
from asymreinforce.model import model_config
from asymreinforce.model.chat_template import end_of_turn
from asymreinforce.model.checkpoint import end_tokens, load_tokenizer
from asymreinforce.model.prompts import PromptEncoder, PromptError, has_chat

SHOWN = 60
"""The number of characters in an example of a text that does not decode to itself."""


class EncodedCompletion(NamedTuple):
    """A completion as tokens; `text` is without the end token."""

    token_ids: np.ndarray
    text: str
    finish_reason: FinishReason


class EncodedQuestion(NamedTuple):
    """The tokens of a prompt, and warnings that each continue `n rows`."""

    token_ids: np.ndarray
    warnings: tuple[str, ...]


class TextMismatch(NamedTuple):
    """The number of rows whose tokens do not decode to their text, with the first example."""

    rows: int
    example: str | None


class _Stops:
    """The tokens that end a completion, and their names in a text."""

    def __init__(self, tokenizer: Any, ends: tuple[int, ...]) -> None:
        self.of_text = ends[0]
        turn = end_of_turn(tokenizer)
        self.of_chat = ends[0] if turn is None else turn
        special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
        named = {tokenizer.convert_ids_to_tokens(end): end for end in ends if end in special}
        self.ids = frozenset(ends)
        # the longest first, because one name may be the end of another
        self._named = dict(sorted(named.items(), key=lambda item: -len(item[0])))
        self._names = [*self._named, *filter(None, [tokenizer.pad_token])]

    def taken_off(self, text: str) -> tuple[str, int | None]:
        """Return a text without the stop token's name at its end, and that token or None.

        Of several stop tokens the first counts, because it ended the completion. White space and
        padding after a stop token are removed, because the policy did not sample them.
        """
        end, rest = None, text
        while name := next((n for n in self._names if rest.rstrip().endswith(n)), None):
            rest = rest.rstrip().removesuffix(name)
            if name in self._named:
                text, end = rest, self._named[name]
        return text, end


class Encoder:
    """Tokenise foreign rows with one checkpoint's tokenizer, and count rows with mismatches."""

    def __init__(self, checkpoint: Path, config: ExperimentConfig, *, notes: Problems) -> None:
        self._tokenizer: Any = load_tokenizer(
            checkpoint, trust_remote_code=config.policy.trust_remote_code
        )
        self._config, self._notes = config, notes
        self._prompts = PromptEncoder(self._tokenizer, config.task)
        # the policy saw the messages of a chat without the task's instruction and system prompt
        as_it_is = config.task.model_copy(update={"instruction": None, "system": None})
        self._chats = PromptEncoder(self._tokenizer, as_it_is)
        ends = end_tokens(checkpoint, trust_remote_code=config.policy.trust_remote_code)
        self._stops = _Stops(self._tokenizer, ends)
        self.warnings = Problems()
        self._has_rendered = False
        declared = model_config.of_checkpoint(checkpoint)
        self._vocabulary = declared.vocabulary or len(self._tokenizer)
        self.context = min(config.policy.context, declared.context or config.policy.context)
        # no token stands for more characters than the longest entry of the vocabulary
        self._longest_text = self.context * max(map(len, self._tokenizer.get_vocab()))
        self.mismatch = TextMismatch(0, None)
        # the rows of a prompt share its question
        self._question = functools.lru_cache(maxsize=64)(self._encode_question)

    @property
    def unused_settings(self) -> list[str]:
        """Messages about prompt settings that had no effect on the rendered prompts."""
        return self._prompts.unused_settings if self._has_rendered else []

    def is_too_long(self, row: ForeignRow) -> bool:
        """Tell whether a text must have more tokens than the context, without tokenising it."""
        # a line of ten megabytes takes minutes to tokenise
        texts = [
            row.text if row.token_ids is None else None,
            row.question if row.prompt_token_ids is None else None,
        ]
        return any(isinstance(t, str) and len(t) > self._longest_text for t in texts)

    def pass_over(self, row: ForeignRow) -> None:
        """Note that a row is longer than the context; refuse it if the settings say so."""
        kind = f"are longer than the context of {self.context} tokens"
        if self._config.source.too_long == "refuse":
            raise BadValueError(kind)
        self._notes.add(kind, row.place)

    def prompt(self, row: ForeignRow) -> tuple[str, np.ndarray]:
        """Return a row's question as text and the tokens of its whole prompt.

        Raises `BadValueError` if the row's token ids are outside the checkpoint's vocabulary, or
        the chat template cannot render the question.
        """
        if row.prompt_token_ids is not None:
            self._require_known(row.prompt_token_ids, "prompt token ids")
            if not len(row.prompt_token_ids):
                raise BadValueError("have an empty prompt")
            text = self._text_of(row.question) or self._decode(row.prompt_token_ids)
            return text, row.prompt_token_ids
        assert row.question is not None
        try:
            encoded = self._question(row.question, row.is_whole_prompt)
        except PromptError as error:
            raise BadValueError(f"have a question that is no prompt: {error.reason}") from error
        self._require_known(encoded.token_ids, "tokens in their prompt")
        for kind in encoded.warnings:
            self.warnings.add(kind, row.place)
        return self._text_of(row.question), encoded.token_ids

    def completion(self, row: ForeignRow) -> EncodedCompletion:
        """Return a row's completion as tokens.

        Raises `BadValueError` if the row's token ids are outside the checkpoint's vocabulary.
        """
        if row.token_ids is None:
            return self._of_text(row)
        self._require_known(row.token_ids, "token ids")
        has_end = len(row.token_ids) > 0 and int(row.token_ids[-1]) in self._stops.ids
        finish = row.finish_reason or ("stop" if has_end else "length")
        if finish == "stop" and not has_end:
            self._notes.add(
                "had ended, but their token ids lack an end-of-sequence token", row.place
            )
        shown = row.token_ids[:-1] if has_end else row.token_ids
        decoded = self._decode(shown)
        if row.text is not None and decoded != row.text:
            self._note_mismatch(row.place, row.text, decoded)
        return EncodedCompletion(row.token_ids, decoded if row.text is None else row.text, finish)

    def _of_text(self, row: ForeignRow) -> EncodedCompletion:
        text, end = self._stops.taken_off(row.text or "")
        ended = end is not None or self._config.source.ended
        finish: FinishReason = row.finish_reason or ("stop" if ended else "length")
        if end is not None and finish == "length":
            self._notes.add("say that they were cut off, but end with a stop token", row.place)
            finish = "stop"
        if self._prompts.markup.looks_rendered(text):
            self.warnings.add(
                "hold special tokens' names or chat markup inside their completion, which stay "
                "letters",
                row.place,
            )
        # names of special tokens inside a completion stay letters
        ids = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        self._require_known(np.array(ids), "tokens in their completion")
        if (decoded := self._decode(ids)) != text:
            self._note_mismatch(row.place, text, decoded)
        if finish == "stop":
            # the policy is to learn how a completion ends
            ids = [*ids, self._usual_end(row) if end is None else end]
        return EncodedCompletion(np.array(ids, dtype=np.int32), text, finish)

    def _usual_end(self, row: ForeignRow) -> int:
        """Return the token that ends a text: end of turn in a chat, else end of sequence."""
        whole = row.question if row.is_whole_prompt and isinstance(row.question, str) else None
        if row.prompt_token_ids is not None:
            whole = self._decode(row.prompt_token_ids)
        is_chat = (
            has_chat(self._tokenizer, self._config.task)
            if whole is None
            else self._prompts.markup.is_rendered(whole)
        )
        return self._stops.of_chat if is_chat else self._stops.of_text

    def _encode_question(self, question: str | Messages, is_whole: bool) -> EncodedQuestion:
        text = self._text_of(question)
        if is_whole and isinstance(question, str):
            return self._encode_whole(question)
        row = {"prompt_id": "of the file", "question": text, "metadata": None}
        encoder, warnings = self._prompts, []
        self._has_rendered |= isinstance(question, str)
        if not isinstance(question, str):
            messages = [{"role": role, "content": content} for role, content in question]
            row["metadata"] = json.dumps({"messages": messages})
            encoder = self._chats
            if messages[-1]["role"] == "assistant":
                warnings.append("have a prompt that ends with the assistant's own message")
            if len(messages) > 1 and not has_chat(self._tokenizer, self._config.task):
                warnings.append(
                    "have a prompt of several messages, of which the question alone is kept, since "
                    "no chat template is used"
                )
        if encoder.markup.looks_rendered(text):
            warnings.append(
                "have a question that holds special tokens' names or chat markup, which are "
                "letters in it; if it is a rendered prompt, set source.templated=true"
            )
        return EncodedQuestion(np.array(encoder.encode(row), dtype=np.int32), tuple(warnings))

    def _encode_whole(self, text: str) -> EncodedQuestion:
        """Encode a prompt that a template has written already, without padding at its start."""
        warnings = []
        pad, first = self._tokenizer.pad_token, self._tokenizer.bos_token
        if pad and pad != first and text.startswith(pad):
            warnings.append("have a prompt that begins with padding, which is left out")
            while text.startswith(pad):
                text = text.removeprefix(pad)
        if name := self._prompts.markup.unknown_in(text):
            warnings.append(
                f"have a whole prompt with markup that this tokenizer has no token for ({name!r}), "
                "so that it is letters"
            )
        frame = self._prompts.template.frame
        if frame and frame.after.strip() and not self._prompts.markup.is_rendered(text):
            warnings.append(
                "have a whole prompt without what the chat template writes behind a question "
                f"({frame.after.strip()[:SHOWN]!r}); set source.templated=false if it is a question"
            )
        ids = self._prompts.encode_whole(text)
        return EncodedQuestion(np.array(ids, dtype=np.int32), tuple(warnings))

    def _text_of(self, question: str | Messages | None) -> str:
        """Return the text of a question; for a chat, the last message not by the assistant."""
        if not isinstance(question, tuple):
            return question or ""
        said = [content for role, content in question if role != "assistant"]
        return said[-1] if said else ""

    def _decode(self, ids: Any) -> str:
        # nothing is left out or cleaned up, because the result is compared with the text
        decoded: str = self._tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return decoded

    def _require_known(self, ids: np.ndarray, what: str) -> None:
        if len(ids) and int(ids.max()) >= self._vocabulary:
            raise BadValueError(f"have {what} outside the checkpoint's {self._vocabulary} tokens")

    def _note_mismatch(self, place: str, text: str, decoded: str) -> None:
        rows, example = self.mismatch
        if example is None:
            differ = (i for i, (a, b) in enumerate(zip(text, decoded, strict=False)) if a != b)
            start = max(0, next(differ, min(len(text), len(decoded))) - SHOWN // 4)
            example = (
                f"{place}: {text[start : start + SHOWN]!r} became "
                f"{decoded[start : start + SHOWN]!r}"
            )
        self.mismatch = TextMismatch(rows + 1, example)
