"""Rows of a JSON file as they stand there: an object a line, or one array of objects.

Numbers keep their digits, texts stay texts, and an object that names a key twice is no row: which
of the values was meant is not known.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from asymreinforce.data.values import MOST_DIGITS, WrittenFloat

LONGEST_LINE = 1 << 27
"""Bytes. A short file can unpack to a line that no memory holds."""
LARGEST_ARRAY = 1 << 30
"""Bytes of a file that is one array, which is parsed as a whole."""


class JsonRow(NamedTuple):
    """What stands at a place of a file: an object, or why there is none (words after `n rows`)."""

    place: str
    values: dict[str, Any] | None
    problem: str = ""


def read_rows(path: Path) -> Iterator[JsonRow]:
    """Yield every row of a file, plain or gzip, in order; blank lines are passed over.

    Raises `OSError`, `EOFError` or `zlib.error` if the file cannot be read or unpacked.
    """
    with _open_stream(path) as stream:
        is_array = _first_sign(stream) == b"["
    with _open_stream(path) as stream:
        yield from _array_rows(path, stream) if is_array else _line_rows(path, stream)


def count_rows(path: Path) -> int:
    """Return the rows of a file; those of lines are counted without parsing them."""
    with _open_stream(path) as stream:
        if _first_sign(stream) == b"[":
            return sum(1 for _ in read_rows(path))
    with _open_stream(path) as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; floats keep their digits.

    Raises `ValueError` for text that is no JSON or repeats a key, `RecursionError` for one that is
    nested too deeply.
    """
    return json.loads(
        text, parse_float=WrittenFloat, parse_int=_whole_number, object_pairs_hook=_without_repeats
    )


def _whole_number(digits: str) -> int | WrittenFloat:
    return int(digits) if len(digits) <= MOST_DIGITS else WrittenFloat(digits)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated[:60]!r} stands twice in an object")
    return values


def _line_rows(path: Path, stream: BinaryIO) -> Iterator[JsonRow]:
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        place = f"{path.name} line {number}"
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield JsonRow(place, None, f"are longer than {LONGEST_LINE >> 20} MiB")
        elif line.strip():
            yield _parse_row(place, line)


def _parse_row(place: str, text: bytes) -> JsonRow:
    try:
        return _checked_row(place, parse_json(text))
    except (ValueError, RecursionError) as error:
        return _unreadable_row(place, error)


def _array_rows(path: Path, stream: BinaryIO) -> Iterator[JsonRow]:
    """Yield the objects of one array, which lm-evaluation-harness wrote before its lines."""
    text = stream.read(LARGEST_ARRAY)
    if len(text) == LARGEST_ARRAY:
        yield JsonRow(path.name, None, f"are one array of more than {LARGEST_ARRAY >> 20} MiB")
        return
    try:
        items = parse_json(text)
    except (ValueError, RecursionError) as error:
        yield _unreadable_row(path.name, error)
        return
    for number, item in enumerate(items, start=1):
        yield _checked_row(f"{path.name} item {number}", item)


def _unreadable_row(place: str, error: Exception) -> JsonRow:
    if isinstance(error, json.JSONDecodeError):
        reason = error.msg
    elif isinstance(error, UnicodeDecodeError):
        reason = f"no {error.encoding}"
    else:
        reason = str(error)
    return JsonRow(place, None, f"are not valid JSON ({reason})")


def _checked_row(place: str, value: Any) -> JsonRow:
    if isinstance(value, dict):
        return JsonRow(place, value)
    return JsonRow(place, None, "are JSON, but no object with named values")


def _open_stream(path: Path) -> Any:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")


def _first_sign(stream: BinaryIO) -> bytes:
    """Return the first byte that is no space and no byte order mark; empty if there is none."""
    while block := stream.read(1 << 16):
        if sign := block.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]:
            return sign
    return b""
