r"""Show text that a model wrote: never markup, never a terminal escape, never without end.

Escaping for HTML is the page's work; here every character that does not show itself is spelled
out, so that `\x1b[2J`, a right-to-left override or a zero-width space is seen and not obeyed.
"""

import unicodedata
from typing import NamedTuple

LONGEST = 2_000
SHOWN_AS_THEY_ARE = frozenset("\n\t")
INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories control, format, surrogate, private use, unassigned, line and paragraph."""


class Shown(NamedTuple):
    """Text that is safe to look at, and how many bytes of the original are left out."""

    text: str
    bytes_left_out: int


def visible(text: str) -> str:
    r"""Spell out the characters that do not show themselves: `"\x1b"` becomes `"\\x1b"`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible_character(character) for character in text)


def show_bytes(content: bytes, *, longest: int = LONGEST) -> Shown:
    """Decode at most `longest` characters of UTF-8 bytes; bytes that are not UTF-8 are spelled out.

    The bytes are cut before they are decoded, so that a line of 10 MB costs no more than a short.
    """
    # A character takes at most 4 bytes; 4 more keep a character cut in two out of what is shown.
    start = content[: 4 * longest + 4].decode(errors="surrogateescape")[:longest]
    used = len(start.encode(errors="surrogateescape"))
    return Shown(visible(start), len(content) - used)


def _visible_character(character: str) -> str:
    if character in SHOWN_AS_THEY_ARE:
        return character
    if unicodedata.category(character) not in INVISIBLE_CATEGORIES:
        return character
    code = ord(character)
    # Bytes that are not UTF-8 were decoded to lone surrogates U+DC80 to U+DCFF.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
