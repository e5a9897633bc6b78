"""Give foreign rows the tokens of a checkpoint: text is tokenised once, and must decode again.

Token ids that came with a row are kept as they are. Text that had ended gets the end-of-sequence
token, which the policy is to learn; special tokens that stand in a text stay text.
"""

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asymreinforce.config import ExperimentConfig
from asymreinforce.data.contracts import FinishReason
from asymreinforce.data.foreign.problems import Problems
from asymreinforce.data.foreign.rows import BadValueError, ForeignRow, Messages
from asymreinforce.policy import model_config
from asymreinforce.policy.checkpoint import end_tokens, load_tokenizer
from asymreinforce.policy.prompts import PromptEncoder

SHOWN = 60
"""Characters of the example of a text that does not come back."""


class Tokens(NamedTuple):
    """A completion in tokens; `text` leaves the end-of-sequence token out."""

    token_ids: np.ndarray
    text: str
    finish_reason: FinishReason


class Mismatch(NamedTuple):
    """Rows whose tokens do not decode to their text, with where the first parts from it."""

    rows: int
    example: str | None


class Encoder:
    """Tokenises foreign rows with one checkpoint's tokenizer, and counts what does not fit."""

    def __init__(self, checkpoint: Path, config: ExperimentConfig, *, notes: Problems) -> None:
        self._tokenizer: Any = load_tokenizer(
            checkpoint, trust_remote_code=config.policy.trust_remote_code
        )
        self._config, self._notes = config, notes
        self._prompts = PromptEncoder(self._tokenizer, config.task)
        # a chat that came with its messages was seen by its policy as it is
        as_it_is = config.task.model_copy(update={"instruction": None, "system": None})
        self._chats = PromptEncoder(self._tokenizer, as_it_is)
        self._ends = end_tokens(checkpoint, trust_remote_code=config.policy.trust_remote_code)
        declared = model_config.of_checkpoint(checkpoint)
        self._vocabulary = declared.vocabulary or len(self._tokenizer)
        self.context = min(config.policy.context, declared.context or config.policy.context)
        self._longest_text = self.context * max(map(len, self._tokenizer.get_vocab()))
        self.mismatch = Mismatch(0, None)
        self._question_ids = functools.lru_cache(maxsize=64)(self._encode_question)

    def exceeds(self, row: ForeignRow) -> bool:
        """Tell, without tokenising it, that a text is longer than the context can be.

        Ten megabytes on a line take minutes to tokenise.
        """
        texts = [
            row.text if row.token_ids is None else None,
            row.question if row.prompt_token_ids is None else None,
        ]
        return any(isinstance(t, str) and len(t) > self._longest_text for t in texts)

    def prompt(self, row: ForeignRow) -> tuple[str, np.ndarray]:
        """Return a row's question as text and the tokens of its whole prompt.

        Raises `BadValueError` where the row's own token ids are none of the checkpoint's.
        """
        if row.prompt_token_ids is not None:
            self._require_known(row.prompt_token_ids, "prompt token ids")
            if not len(row.prompt_token_ids):
                raise BadValueError("have an empty prompt")
            text = self._text_of(row.question) or self._decode(row.prompt_token_ids)
            return text, row.prompt_token_ids
        assert row.question is not None
        text = self._text_of(row.question)
        return text, self._question_ids(row.question, row.is_whole_prompt)

    def completion(self, row: ForeignRow) -> Tokens:
        """Return a row's completion in tokens.

        Raises `BadValueError` where its own token ids are none of the checkpoint's.
        """
        if row.token_ids is None:
            return self._of_text(row)
        self._require_known(row.token_ids, "token ids")
        has_end = len(row.token_ids) > 0 and int(row.token_ids[-1]) in self._ends
        finish = row.finish_reason or ("stop" if has_end else "length")
        if finish == "stop" and not has_end:
            self._notes.add(
                "had ended, but their token ids lack an end-of-sequence token", row.place
            )
        shown = row.token_ids[:-1] if has_end else row.token_ids
        decoded = self._decode(shown)
        if row.text is not None and decoded != row.text:
            self._note_mismatch(row.place, row.text, decoded)
        return Tokens(row.token_ids, decoded if row.text is None else row.text, finish)

    def _of_text(self, row: ForeignRow) -> Tokens:
        text = row.text or ""
        end = str(self._tokenizer.eos_token)
        has_end = text.endswith(end)
        text = text.removesuffix(end)
        ended = has_end or self._config.source.ended
        finish: FinishReason = row.finish_reason or ("stop" if ended else "length")
        ids = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if (decoded := self._decode(ids)) != text:
            self._note_mismatch(row.place, text, decoded)
        if finish == "stop":
            ids = [*ids, self._ends[0]]
        return Tokens(np.array(ids, dtype=np.int32), text, finish)

    def _encode_question(self, question: str | Messages, is_whole: bool) -> np.ndarray:
        text = self._text_of(question)
        if is_whole and isinstance(question, str):
            ids = self._tokenizer.encode(text, split_special_tokens=True)
            return np.array(ids, dtype=np.int32)
        row = {"prompt_id": "of the file", "question": text, "metadata": None}
        encoder = self._prompts
        if not isinstance(question, str):
            messages = [{"role": role, "content": content} for role, content in question]
            row["metadata"] = json.dumps({"messages": messages})
            encoder = self._chats
        return np.array(encoder.encode(row), dtype=np.int32)

    def _text_of(self, question: str | Messages | None) -> str:
        """Return the text of a question; of a chat what was said last but by the assistant."""
        if not isinstance(question, tuple):
            return question or ""
        said = [content for role, content in question if role != "assistant"]
        return said[-1] if said else ""

    def _decode(self, ids: Any) -> str:
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
        self.mismatch = Mismatch(rows + 1, example)
