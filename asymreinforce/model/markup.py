"""Chat markup in a text: whether a template has rendered it, this tokenizer's or another."""

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
"""Chat markup of the models in use, a last header of a turn that lost its special names, and a list
of messages that is written out as text."""


class Markup:
    """Finds markup of one tokenizer, whose special tokens' names are `special`, and of others."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        template: ChatTemplate,
        special: re.Pattern[str],
    ):
        self._tokenizer, self._template, self._special = tokenizer, template, special

    def is_rendered(self, text: str) -> bool:
        """Tell whether a text holds the markup that this tokenizer's template puts after questions.

        Special tokens are enough of it: other settings of the template write other words.
        """
        frame = self._template.frame
        behind = frame.after.strip() if frame else ""
        markup = self._special.findall(behind) or [behind]
        return bool(behind) and all(part in text for part in markup)

    def looks_rendered(self, text: str) -> bool:
        """Tell whether a text holds special tokens' names or chat markup, of any model in use."""
        return bool(self._special.search(text) or IN_USE.search(text) or self._ends_a_turn(text))

    def unknown_in(self, text: str) -> str | None:
        """Return markup of a text that this tokenizer has no token for and its template not."""
        frame = self._template.frame
        written = f"{frame.before}{frame.after}" if frame else ""
        known = self._tokenizer.get_added_vocab()
        matches = (match[0] for match in IN_USE.finditer(text) if not match[0].startswith("\n"))
        return next((name for name in matches if name not in known and name not in written), None)

    def _ends_a_turn(self, text: str) -> bool:
        """Tell whether a text holds what the template writes behind a question, if that is markup.

        "Answer:" alone, which some templates write there, may stand in any question.
        """
        return self.is_rendered(text) and bool(
            {*"<[|#"} & {*(self._template.frame or Frame("", "")).after}
        )
