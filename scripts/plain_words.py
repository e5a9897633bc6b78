"""List turns of phrase that are hard to read: a help for editing, and no gate.

    .venv/bin/python scripts/plain_words.py                  # counts by file, the most first
    .venv/bin/python scripts/plain_words.py --lines report/  # each place in such paths

The script reads docstrings, comments and Markdown. A hit is not a fault: "where" may mean a place.
"""

import argparse
import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TURNS = {
    "where, for if": r"\b(?:None|null|empty|False|True|error|raises[^.]*|and|but|, ) ?where\b",
    "what ... is/are": r"(?<![\w-])what(?:ever)? (?:is|was|comes?|came|cannot|can|must|may)\b",
    "whoever": r"\bwhoever\b",
    "stands": r"\bstand(?:s|ing)? (?:in|here|there|beside|alone|under|behind)\b",
    "anew": r"\banew\b",
    "of its own": r"\bof (?:its|their|his|one's) own\b",
    "be it, as ever": r"\b(?:be it|as ever|ever after|none of (?:it|them) is)\b",
    "that, one, none as nouns": r"(?:; |, )(?:that|one|none|those) (?:is|are|of|which|has|have)\b",
    "lest, thereof, hence": r"\b(?:lest|thereof|hence|wherever|whence|thereby)\b",
}
PATTERNS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in TURNS.items()}


class Hit(NamedTuple):
    """A turn of phrase and its place."""

    path: Path
    line: int
    turn: str
    text: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", metavar="PART", help="print each place, of paths with this part")
    part = parser.parse_args().lines
    hits = [hit for path in sources() for hit in hits_of(path)]
    if part is not None:
        for hit in hits:
            if part in str(hit.path):
                print(f"{hit.path}:{hit.line}: [{hit.turn}] {hit.text}")
        return
    for path, count in Counter(hit.path for hit in hits).most_common(40):
        print(f"{count:4} {path}")
    print("\nby turn:", dict(Counter(hit.turn for hit in hits).most_common()))
    print(f"comments: {comment_density():.1f} lines per 100 lines of code in the package")


def sources() -> list[Path]:
    """Return the files of the package, command line, scripts and docs, relative to the checkout."""
    folders = ("asymreinforce", "cli", "scripts", "docs")
    paths = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file()]
    kept = [p for p in paths if p.suffix in (".py", ".md")]
    return sorted(p.relative_to(ROOT) for p in [*kept, ROOT / "README.md"])


def hits_of(path: Path) -> Iterator[Hit]:
    text = (ROOT / path).read_text(encoding="utf-8")
    prose = python_prose(text) if path.suffix == ".py" else enumerate(text.splitlines(), 1)
    for number, line in prose:
        for turn, pattern in PATTERNS.items():
            if pattern.search(line):
                yield Hit(path, number, turn, line.strip())


def python_prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line of docstrings, attribute texts and comments."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, str):
                yield from enumerate(value.splitlines(), node.lineno)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def comment_density() -> float:
    """Return comment lines per 100 lines of code in the package and the command line."""
    comments = code = 0
    for path in [*(ROOT / "asymreinforce").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        comments += sum(token.type == tokenize.COMMENT for token in tokens)
        docs = sum(
            node.end_lineno - node.lineno + 1
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            and node.end_lineno
        )
        code += sum(bool(line.strip()) for line in text.splitlines()) - docs
    return 100 * comments / code


if __name__ == "__main__":
    main()
