"""Read rows of a CSV or TSV file, plain or gzip; every value is a text, so that 007 stays 007."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

LONGEST_FIELD = 1 << 27
"""Characters of a value, at most."""
ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


def rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (number of a row's last line, row); the first line of the file names the columns.

    Raises `csv.Error`, `OSError`, `EOFError`, `zlib.error` or `ValueError` if the file is damaged,
    names a column twice, or has a row with another number of values.
    """
    # Python's default limit of 131,072 characters is too short for some completions.
    csv.field_size_limit(LONGEST_FIELD)
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    opened = gzip.open if path.suffix == ".gz" else open
    # "utf-8-sig", since spreadsheets put a byte order mark before the first column's name.
    with opened(path, "rt", newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        names = next(reader, [])
        if len(set(names)) < len(names):
            raise ValueError(f"the first line names a column twice: {', '.join(names)}")
        for fields in reader:
            if fields and len(fields) != len(names):
                raise ValueError(
                    f"line {reader.line_num} has {len(fields)} values for {len(names)} columns"
                )
            if fields:
                yield reader.line_num, dict(zip(names, fields, strict=True))
