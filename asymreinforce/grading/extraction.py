r"""Cut a completion to the text after its reasoning; find boxes, tags and `Answer:` in it.

All built-in graders use these rules. Pure text: nothing here evaluates or parses.

spoken_text("<think>is it 41?</think> It is 42.<|im_end|>") == " It is 42."
"""

import re
from typing import Literal, NamedTuple

Reasoning = Literal["marked", "always", "ignored"]
"""`marked`: a completion whose reasoning block never ends has no answer. `always`: the prompt opens
the block, so a completion without the closing mark has no answer. `ignored`: all text is read."""

NAMES = "think|thinking|thoughts?|reason|reasoning|reflection|scratchpad|analysis"
TAG = rf"(?:[a-z]+[:_])?(?:{NAMES})"
# One of the signs in `MARK` comes before each: <think>, [THINK], <|begin_of_thought|>, ◁think▷.
BEGINS = (
    f"{TAG}>",
    r"think(?:ing)?\]",  # others in square brackets, such as [Analysis], are headings
    rf"\|(?:begin_of_|start_)?(?:{NAMES})\|>",
    "think▷",
    r"\|inner_prefix\|>",
    "unused94>",
    r"\|channel>thought",
    r"\|channel\|>\s*(?:analysis|commentary)",
)
ENDS = (
    rf"/{TAG}[>\]]",
    rf"\|(?:/|end_of_|end_)(?:{NAMES})\|>",
    "/think▷",
    r"\|inner_suffix\|>",
    "unused95>",
    r"channel\|>",
    r"\|channel\|>\s*final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>",
)
MARK = re.compile(rf"[<\[◁](?i:(?P<begin>{'|'.join(BEGINS)})|(?P<end>{'|'.join(ENDS)}))")
BARE_CHANNEL, BARE_FINAL = re.compile(r"\s*analysis(?=[^\sa-z])"), "assistantfinal"
"""The channel names of gpt-oss that remain in a text without special tokens."""
TURN_END = re.compile(
    r"<\|(?i:im_end|im_start|eot_id|eom_id|eot|eos|endoftext|end_of_text|end_of_turn(?:_token)?"
    r"|end_of_solution|end_response|endofassistant|start_header_id|user|call|return|end)\|>"
    r"|<｜(?:end▁of▁sentence|User)｜>|<(?:end_of_turn|start_of_turn|turn\||eos|pad)>"
    r"|</s>(?=\s*(?:<|\Z))|\[(?:EOS|/?INST)\]"
)
ANSWER = "Answer:"
OPENING_TAG, CLOSING_TAG = "<answer>", "</answer>"
BOX_OR_BRACE = re.compile(r"\\\\?f?box(?:ed)?\s*\{|\\.|[{}]", re.DOTALL)


def spoken_text(text: str, reasoning: Reasoning = "marked") -> str | None:
    """Return the text of a completion after its reasoning; None if the reasoning never ends."""
    if reasoning != "ignored":
        if BARE_CHANNEL.match(text):
            _, is_final, text = text.rpartition(BARE_FINAL)
            if not is_final:
                return None
        behind, is_open = 0, reasoning == "always"
        for mark in MARK.finditer(text):
            is_open = mark["end"] is None
            behind = behind if is_open else mark.end()
        if is_open:
            return None
        text = text[behind:]
    end = TURN_END.search(text)
    return text[: end.start()] if end else text


def after_last_answer(text: str) -> str | None:
    """Return the text after the last `Answer:`, stripped; None if there is no such text."""
    return text.rpartition(ANSWER)[2].strip() or None if ANSWER in text else None


def last_tag_or_answer(text: str) -> str | None:
    """Return the content of the last `<answer>..</answer>`, or the text after a later `Answer:`."""
    is_later = text.rfind(ANSWER) > text.rfind(CLOSING_TAG)
    inside = None if is_later else last_tag(text)
    return after_last_answer(text) if inside is None else inside or None


def last_tag(text: str) -> str | None:
    """Return the content of the last `<answer>..</answer>`, stripped; None if there is no tag."""
    end = text.rfind(CLOSING_TAG)
    start = text.rfind(OPENING_TAG, 0, max(end, 0))
    return None if start < 0 else text[start + len(OPENING_TAG) : end].strip()


class Box(NamedTuple):
    """The place of a box: its command begins at `start`, its content is `text[inside:end]`."""

    start: int
    inside: int
    end: int


def find_boxes(text: str) -> list[Box]:
    r"""Return each `\boxed{...}` or `\fbox{...}` whose braces match, in the order of the text.

    A box that was cut off does not count. Of nested boxes only the innermost counts. Escaped braces
    are content. The time is linear in the text, since completions are untrusted.
    """
    complete: list[Box] = []
    open_braces: list[tuple[int, int] | None] = []
    for match in BOX_OR_BRACE.finditer(text):
        if match[0].endswith("{") and not match[0].startswith("\\{"):
            is_box = match[0].startswith("\\")
            open_braces.append((match.start(), match.end()) if is_box else None)
        elif match[0] == "}" and open_braces:
            opened = open_braces.pop()
            if opened is not None and (not complete or opened[0] > complete[-1].start):
                complete.append(Box(*opened, match.start()))
    return complete


def last_boxed(text: str) -> str | None:
    """Return the content of the last box, stripped; None if there is no box or it is empty."""
    all_boxes = find_boxes(text)
    return (text[all_boxes[-1].inside : all_boxes[-1].end].strip() or None) if all_boxes else None
