"""A tokenizer's chat template: what it renders must hold the text of every message.

Some templates read a message's content as a text, others as content parts, each of a type. A
template that is given the form that it does not read drops the question without an error, so that
every prompt would be the same. Both forms are tried, and a rendering that lacks a text is refused.
"""

import datetime
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ANY_DATE = "2000-01-01"
Message = Mapping[str, Any]
Messages = list[dict[str, str]]
Form = Callable[[Messages], list[dict[str, Any]]]


class UnrenderableError(Exception):
    """Messages that a chat template cannot render; its text says why, and what to do."""


class Frame(NamedTuple):
    """What a template writes before and after a question that is its only message."""

    before: str
    after: str


class ChatTemplate:
    """Renders messages with one tokenizer's chat template, a date and arguments of its own."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", *, date: str, arguments: Mapping[str, Any]
    ):
        self._tokenizer, self._date, self._arguments = tokenizer, date, arguments
        self._unread: dict[tuple[Form, tuple[str, ...]], str | None] = {}

    def render(self, messages: Messages) -> str:
        """Return the text of a prompt that ends where the assistant's turn begins.

        Raises `UnrenderableError` if the template refuses the messages, or leaves the text of one
        out whichever form its content has.
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
        """What stands around a question; None without a template that renders one message."""
        if not self._tokenizer.chat_template:
            return None
        try:
            rendered = self.render([{"role": "user", "content": _marker_text(0)}])
        except UnrenderableError:
            return None
        before, _, after = rendered.rpartition(_marker_text(0))
        return Frame(before, after)

    def end_of_turn(self) -> str:
        """Return what stands behind an assistant's message; empty if that is not known."""
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
        """Return a role whose text the template leaves out, found by texts that nothing else holds.

        A short question may stand in a rendering by chance, such as "2" in a date.
        """
        roles = tuple(message["role"] for message in messages)
        if (form, roles) not in self._unread:
            marked = [{"role": role, "content": _marker_text(i)} for i, role in enumerate(roles)]
            try:
                rendered = self._apply_template(form(marked))
            except Exception:  # a template that refuses these texts is judged by the prompt's own
                unread = None
            else:
                lost = (m["role"] for m in marked if m["content"] not in rendered)
                unread = roles[-1] if _spells_parts(rendered) else next(lost, None)
            self._unread[form, roles] = unread
        return self._unread[form, roles]


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Return the special token by which a chat template ends an assistant's turn; None if by none.

    It need not be the tokenizer's end-of-sequence token, nor be declared by the model's files.
    """
    template = ChatTemplate(tokenizer, date=ANY_DATE, arguments={})
    behind = template.end_of_turn().lstrip()
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    names = {str(tokenizer.convert_ids_to_tokens(token)): token for token in special}
    stands = [name for name in names if name and behind.startswith(name)]
    return int(names[max(stands, key=len)]) if stands else None


def as_text(messages: Messages) -> list[dict[str, Any]]:
    """Return messages whose contents are texts."""
    return [dict(message) for message in messages]


def as_parts(messages: Messages) -> list[dict[str, Any]]:
    """Return messages whose contents are lists of one part, a text."""
    return [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]


def _marker_text(index: int) -> str:
    return f"Zq{index}xK"


def _spells_parts(rendered: str) -> bool:
    """Tell whether a template that reads texts wrote the list of parts out, as Python or JSON."""
    return bool(re.search(r"""['"]text['"]\s*:\s*['"]Zq\d+xK""", rendered))


def _lost_role(rendered: str, messages: Sequence[Message]) -> str | None:
    """Return the role of the first message whose text is not in a rendering.

    White space is not compared, which templates trim. An assistant's earlier text is not looked
    for, since templates leave its reasoning out.
    """
    kept = "".join(rendered.split())
    for message in messages:
        if message["role"] != "assistant" and "".join(message["content"].split()) not in kept:
            return str(message["role"])
    return None


def _refusal_error(messages: Sequence[Message], error: Exception) -> UnrenderableError:
    roles = ", ".join(message["role"] for message in messages)
    return UnrenderableError(
        f"the chat template refuses messages of {roles} ({type(error).__name__}: {error}); "
        "set task.system=null where it knows no system prompt, or task.chat=never for a plain "
        "prompt"
    )


def _left_out(role: str) -> UnrenderableError:
    advice = "task.system=null, or " if role == "system" else ""
    return UnrenderableError(
        f"the chat template leaves out the text of the {role} message, be it given as a text or as "
        f"content parts; set {advice}task.chat=never for a plain prompt, or mend the template"
    )


def _fixed_date(date: str) -> Callable[[str], str]:
    """Stand in for a template's clock: a prompt that changes by the day is none to compare by."""
    day = datetime.date.fromisoformat(date)
    return day.strftime
