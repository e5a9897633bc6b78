"""Read rows of a JSON file exactly as written: one object per line, or one array of objects.

Numbers keep their digits and texts stay texts. An object that repeats a key is refused.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from asymreinforce.data.values import MOST_DIGITS, WrittenFloat

# A short gzip file can unpack to a line that does not fit the memory.
LONGEST_LINE = 1 << 27
"""Bytes of a line, at most."""
LARGEST_ARRAY = 1 << 30
"""Bytes of a file that is one array, at most; an array is parsed as a whole."""


class JsonRow(NamedTuple):
    """One row of a file: an object, or the problem with it (words that follow `n rows`)."""

    place: str
    values: dict[str, Any] | None
    problem: str = ""


def read_rows(path: Path) -> Iterator[JsonRow]:
    """Yield every row of a plain or gzip file in order, without blank lines.

    Raises `OSError`, `EOFError` or `zlib.error` if the file cannot be read or unpacked.
    """
    with _open_stream(path) as stream:
        is_array = _first_sign(stream) == b"["
    with _open_stream(path) as stream:
        yield from _array_rows(path, stream) if is_array else _line_rows(path, stream)


def count_rows(path: Path) -> int:
    """Return the number of objects of an array, or of line ends in a file of lines (not parsed)."""
    with _open_stream(path) as stream:
        if _first_sign(stream) == b"[":
            return sum(1 for _ in read_rows(path))
    with _open_stream(path) as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))


def parse_json(text: str | bytes) -> Any:
    """Parse JSON into Python values; floats keep their digits.

    Raises `ValueError` for a text that is no JSON or repeats a key, `RecursionError` for too deep
    nesting.
    """
    return json.loads(
        text, parse_float=WrittenFloat, parse_int=_whole_number, object_pairs_hook=_without_repeats
    )


def _whole_number(digits: str) -> int | WrittenFloat:
    # Python refuses to parse longer whole numbers.
    return int(digits) if len(digits) <= MOST_DIGITS else WrittenFloat(digits)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    # Python would keep the last value, but which value was meant is not known.
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated[:60]!r} appears twice in an object")
    return values


def _line_rows(path: Path, stream: BinaryIO) -> Iterator[JsonRow]:
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        place = f"{path.name} line {number}"
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            # the rest of the line is no row: skip it in pieces that fit the memory
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
    """Yield the objects of one array, the format of earlier versions of lm-evaluation-harness."""
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
    """Return the first byte after spaces and a byte order mark; empty if there is none."""
    while block := stream.read(1 << 16):
        if sign := block.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]:
            return sign
    return b""
