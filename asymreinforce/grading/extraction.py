"""Find boxes, tags and `Answer:` in a completion. Pure text: nothing here evaluates or parses."""

import re
from typing import NamedTuple

ANSWER = "Answer:"
OPENING_TAG, CLOSING_TAG = "<answer>", "</answer>"
BOX_OR_BRACE = re.compile(r"\\\\?f?box(?:ed)?\s*\{|\\.|[{}]", re.DOTALL)


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
