r"""Make text that a model wrote safe to show: invisible characters escaped, length bounded.

A terminal escape (`\x1b[2J`), a right-to-left override or a zero-width space is printed as its
code and has no effect. The report page escapes HTML itself.
"""

import unicodedata
from typing import NamedTuple

LONGEST = 2_000
"""Characters of a text that are shown."""
SHOWN_AS_THEY_ARE = frozenset("\n\t")
INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories control, format, surrogate, private use, unassigned, line and paragraph."""


class Shown(NamedTuple):
    """Text that is safe to show, and how many bytes of the original are left out."""

    text: str
    bytes_left_out: int


def visible(text: str) -> str:
    r"""Escape invisible characters: `"\x1b"` becomes `"\\x1b"`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible_character(character) for character in text)


def show_bytes(content: bytes, *, longest: int = LONGEST) -> Shown:
    """Decode at most `longest` characters of UTF-8; bytes that are not UTF-8 are escaped."""
    # The bytes are cut before they are decoded, so that a line of 10 MB costs no more than a short
    # one. A character takes at most 4 bytes; 4 more keep a character cut in two out of the result.
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
