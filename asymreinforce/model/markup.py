"""Detect chat markup in a text: whether this tokenizer's or another template rendered the text."""

import re
from typing import TYPE_CHECKING

from asymreinforce.model.chat_template import ChatTemplate, Frame

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IN_USE = re.compile(
    r"<\|[A-Za-z0-9_]{2,40}\|?>"  # ChatML, Llama 3 and most others
    r"|<\uff5c[^<>\uff5c]{2,40}\uff5c>"  # the same with full-width bars
    r"|\[/?INST\]|<<SYS>>|<(?:start|end)_of_turn>"
    r"|\n[ \t]*(?:#+ *)?(?:assistant|Assistant|ASSISTANT|Response)[ \t]*:?\s*\Z"
    r"|\A\s*\[\s*\{\s*['\"](?:role|content|type)['\"]\s*:"
)
"""Chat markup of the models in use, a final turn header without its special tokens, or a list of
messages that was written out as text."""


class Markup:
    """Finds markup of one tokenizer and of others; `special` matches its special tokens' names."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        template: ChatTemplate,
        special: re.Pattern[str],
    ):
        self._tokenizer, self._template, self._special = tokenizer, template, special

    def is_rendered(self, text: str) -> bool:
        """Return whether a text holds the markup that this template puts after a question.

        If that markup has special tokens, the text needs to hold only these.
        """
        frame = self._template.frame
        behind = frame.after.strip() if frame else ""
        # only special tokens, because the words depend on the template's arguments
        markup = self._special.findall(behind) or [behind]
        return bool(behind) and all(part in text for part in markup)

    def looks_rendered(self, text: str) -> bool:
        """Return whether a text holds special tokens' names or chat markup of any model in use."""
        return bool(self._special.search(text) or IN_USE.search(text) or self._ends_a_turn(text))

    def unknown_in(self, text: str) -> str | None:
        """Return markup in a text that neither this tokenizer nor its template knows, else None."""
        frame = self._template.frame
        written = f"{frame.before}{frame.after}" if frame else ""
        known = self._tokenizer.get_added_vocab()
        matches = (match[0] for match in IN_USE.finditer(text) if not match[0].startswith("\n"))
        return next((name for name in matches if name not in known and name not in written), None)

    def _ends_a_turn(self, text: str) -> bool:
        """Return whether a text holds the template's text after a question, if that is markup."""
        # some templates write only "Answer:", which any question may contain
        return self.is_rendered(text) and bool(
            {*"<[|#"} & {*(self._template.frame or Frame("", "")).after}
        )
