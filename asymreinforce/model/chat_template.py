"""Render messages with a tokenizer's chat template, and check that no message's text is lost.

Some templates read a message's content as text, others as a list of typed content parts. Given the
other form, a template drops the question without an error, so that every prompt would be the same.
Both forms are tried, and a rendering that lacks a text is refused.

`Markup` tells whether a text was rendered already, by this tokenizer's template or by another.
"""

import datetime
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ANY_DATE = "2000-01-01"
IN_USE = re.compile(
    r"<\|[A-Za-z0-9_]{2,40}\|?>"  # ChatML, Llama 3 and most others
    r"|<\uff5c[^<>\uff5c]{2,40}\uff5c>"  # the same with full-width bars
    r"|\[/?INST\]|<<SYS>>|<(?:start|end)_of_turn>"
    r"|\n[ \t]*(?:#+ *)?(?:assistant|Assistant|ASSISTANT|Response)[ \t]*:?\s*\Z"
    r"|\A\s*\[\s*\{\s*['\"](?:role|content|type)['\"]\s*:"
)
"""Chat markup of the models in use, a final turn header without its special tokens, or a list of
messages that was written out as text."""
Message = Mapping[str, Any]
Messages = list[dict[str, str]]
Form = Callable[[Messages], list[dict[str, Any]]]


class UnrenderableError(Exception):
    """A chat template cannot render the messages; the error's text says why and what to do."""


class Frame(NamedTuple):
    """Text that a template writes before and after a question that is the only message."""

    before: str
    after: str


class ChatTemplate:
    """Renders messages with one tokenizer's chat template, a fixed date and fixed arguments."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", *, date: str, arguments: Mapping[str, Any]
    ):
        self._tokenizer, self._date, self._arguments = tokenizer, date, arguments
        self._unread: dict[tuple[Form, tuple[str, ...]], str | None] = {}

    def render(self, messages: Messages) -> str:
        """Return the text of a prompt that ends where the assistant's turn begins.

        Raises `UnrenderableError` if, with both forms of content, the template refuses the messages
        or leaves out the text of a message.
        """
        problem: UnrenderableError | None = None
        for form in (as_text, as_parts):
            try:
                rendered = self._apply_template(form(messages))
            except Exception as error:  # jinja's errors, and whatever a template raises by itself
                problem = problem or _refusal_error(messages, error)
                continue
            lost = _lost_role(rendered, messages) or self._unread_role(form, messages)
            if lost is None:
                return rendered
            problem = problem or _left_out(lost)
        assert problem is not None
        raise problem

    @functools.cached_property
    def frame(self) -> Frame | None:
        """The template's text around a question; None if no template renders a single message."""
        if not self._tokenizer.chat_template:
            return None
        try:
            rendered = self.render([{"role": "user", "content": _marker_text(0)}])
        except UnrenderableError:
            return None
        before, _, after = rendered.rpartition(_marker_text(0))
        return Frame(before, after)

    def end_of_turn(self) -> str:
        """Return the template's text after an assistant's message, empty if it is not known."""
        if self.frame is None:
            return ""
        messages = [
            {"role": r, "content": _marker_text(i)} for i, r in enumerate(("user", "assistant"))
        ]
        for form in (as_text, as_parts):
            try:
                rendered = self._apply_template(form(messages), begins_answer=False)
            except Exception:  # a template may refuse a chat that has no next turn
                continue
            if _marker_text(1) in rendered:
                return rendered.rpartition(_marker_text(1))[2]
        return ""

    def _apply_template(self, messages: list[dict[str, Any]], *, begins_answer: bool = True) -> str:
        rendered: str = self._tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=begins_answer,
            strftime_now=_fixed_date(self._date),
            **self._arguments,
        )
        return rendered

    def _unread_role(self, form: Form, messages: Messages) -> str | None:
        """Return a role whose text the template leaves out, None if there is none."""
        # tested with unique marker texts: a short question such as "2" may also be part of a date
        roles = tuple(message["role"] for message in messages)
        if (form, roles) not in self._unread:
            marked = [{"role": role, "content": _marker_text(i)} for i, role in enumerate(roles)]
            try:
                rendered = self._apply_template(form(marked))
            except Exception:  # if the markers are refused, only the prompt's own texts are checked
                unread = None
            else:
                lost = (m["role"] for m in marked if m["content"] not in rendered)
                unread = roles[-1] if _spells_parts(rendered) else next(lost, None)
            self._unread[form, roles] = unread
        return self._unread[form, roles]


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


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Return the special token with which a chat template ends an assistant's turn, None if none.

    The token may differ from the end-of-sequence token and from all tokens that the model declares.
    """
    template = ChatTemplate(tokenizer, date=ANY_DATE, arguments={})
    behind = template.end_of_turn().lstrip()
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    names = {str(tokenizer.convert_ids_to_tokens(token)): token for token in special}
    stands = [name for name in names if name and behind.startswith(name)]
    return int(names[max(stands, key=len)]) if stands else None


def as_text(messages: Messages) -> list[dict[str, Any]]:
    """Return messages whose content is text."""
    return [dict(message) for message in messages]


def as_parts(messages: Messages) -> list[dict[str, Any]]:
    """Return messages whose content is a list of one text part."""
    return [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]


def _marker_text(index: int) -> str:
    return f"Zq{index}xK"


def _spells_parts(rendered: str) -> bool:
    """Return whether a template that reads text wrote out the list of parts, as Python or JSON."""
    return bool(re.search(r"""['"]text['"]\s*:\s*['"]Zq\d+xK""", rendered))


def _lost_role(rendered: str, messages: Sequence[Message]) -> str | None:
    """Return the role of the first message whose text is not in a rendering, else None."""
    # without white space, which templates trim
    kept = "".join(rendered.split())
    for message in messages:
        # an assistant's earlier message may be cut: templates leave its reasoning out
        if message["role"] != "assistant" and "".join(message["content"].split()) not in kept:
            return str(message["role"])
    return None


def _refusal_error(messages: Sequence[Message], error: Exception) -> UnrenderableError:
    roles = ", ".join(message["role"] for message in messages)
    return UnrenderableError(
        f"the chat template refuses messages of {roles} ({type(error).__name__}: {error}); "
        "set task.system=null if the template takes no system prompt, or task.chat=never for a "
        "plain prompt"
    )


def _left_out(role: str) -> UnrenderableError:
    advice = "task.system=null, or " if role == "system" else ""
    return UnrenderableError(
        f"the chat template leaves out the text of the {role} message, both as text and as content "
        f"parts; set {advice}task.chat=never for a plain prompt, or correct the template"
    )


def _fixed_date(date: str) -> Callable[[str], str]:
    """Return a `strftime_now` that always gives this date, for templates that ask for today's."""
    # a fixed date keeps prompts identical from day to day
    day = datetime.date.fromisoformat(date)
    return day.strftime
