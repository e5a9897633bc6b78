"""Where an answer stands in a completion. Pure text: nothing here evaluates or parses."""

import re

ANSWER = "Answer:"
OPENING_TAG, CLOSING_TAG = "<answer>", "</answer>"
BOX_OR_BRACE = re.compile(r"\\f?box(?:ed)?\s*\{|\\.|[{}]", re.DOTALL)
MATH_SIGNS = ("\\$", "$", "€", "£")


def after_last_answer(text: str) -> str | None:
    """Return what follows the last `Answer:`, stripped; None where there is none, or nothing."""
    _, found, rest = text.rpartition(ANSWER)
    return (rest.strip() or None) if found else None


def last_tag_or_answer(text: str) -> str | None:
    """Return the later of the last `<answer>..</answer>` and what follows the last `Answer:`."""
    end = text.rfind(CLOSING_TAG)
    start = text.rfind(OPENING_TAG, 0, max(end, 0))
    if start < 0 or text.rfind(ANSWER) > end:
        return after_last_answer(text)
    return text[start + len(OPENING_TAG) : end].strip() or None


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` or `\fbox{...}` whose braces match.

    A box that was cut off does not count; the one before it does. Escaped braces are content.
    One pass over the text, whatever stands in it.
    """
    last: tuple[int, int] | None = None
    open_braces: list[int | None] = []
    for match in BOX_OR_BRACE.finditer(text):
        if match[0].endswith("{") and not match[0].startswith("\\{"):
            open_braces.append(match.end() if match[0].startswith("\\") else None)
        elif match[0] == "}" and open_braces:
            start = open_braces.pop()
            if start is not None and (last is None or start > last[0]):
                last = (start, match.start())
    return (text[slice(*last)].strip() or None) if last else None


def without_currency(answer: str) -> str:
    r"""Strip one currency sign at either end (`\$40` is 40); math-verify fails on it otherwise."""
    stripped = answer.strip()
    for sign in MATH_SIGNS:
        if stripped.startswith(sign) and not stripped.endswith("$"):
            return stripped.removeprefix(sign).strip()
    return stripped
