"""Group rows by prompt on disk, because files may hold the rows of a prompt in any order.

A temporary SQLite file holds the rows, so that memory does not grow with their number.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asymreinforce.data import files
from asymreinforce.data.contracts import FinishReason
from asymreinforce.errors import StorageError

# the columns of the two tables stand in the order of the fields below
SCHEMA = """
create table prompts (number integer primary key, id text unique, question text, gold text,
                      level text, subject text, metadata text, tokens blob, place text,
                      rendered integer);
create table rows (number integer primary key, prompt integer, policy text, source integer,
                   tokens blob, logps blob, finish text, text text, reward real, digest blob);
create index by_prompt on rows (prompt, number);
create index by_source on rows (prompt, policy, source);
"""


class ImportedPrompt(NamedTuple):
    """A prompt with its tokens; `gold_answer` is None until a row with a gold answer is read.

    `is_rendered`: the task's settings rendered the question to the tokens.
    """

    prompt_id: str
    question: str
    gold_answer: str | None
    level: str | None
    subject: str | None
    metadata: str | None
    tokens: np.ndarray
    place: str
    is_rendered: bool = True


class ImportedRow(NamedTuple):
    """A completion that is tokenised and checked."""

    policy: str
    source_sample: int | None
    tokens: np.ndarray
    logps: np.ndarray | None
    finish_reason: FinishReason
    text: str
    reward: float | None


class PromptGroups:
    """Prompts in the order of their first row, and their rows in the order of the file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._db.executescript(SCHEMA)

    def prompt_number(self, prompt_id: str) -> int | None:
        """Return the number of a prompt, or None if the prompt was not added."""
        row = self._db.execute("select number from prompts where id = ?", (prompt_id,)).fetchone()
        return int(row[0]) if row else None

    def prompt(self, number: int) -> ImportedPrompt:
        """Return a prompt by its number."""
        select = "select * from prompts where number = ?"
        _, *values = self._db.execute(select, (number,)).fetchone()
        prompt = ImportedPrompt(*values)
        return prompt._replace(tokens=np.frombuffer(values[6], np.int32))

    def add_prompt(self, prompt: ImportedPrompt) -> int:
        """Add a new prompt, and return its number."""
        tokens = prompt.tokens.astype(np.int32).tobytes()
        return self._insert("prompts", (*prompt[:6], tokens, *prompt[7:]))

    def set_gold(self, number: int, gold_answer: str, *, metadata: str | None) -> None:
        """Set the gold answer and the metadata of a prompt, known from a later row."""
        self._db.execute(
            "update prompts set gold = ?, metadata = ? where number = ?",
            (gold_answer, metadata, number),
        )

    def add_row(self, prompt: int, row: ImportedRow) -> bool | None:
        """Add a row and return None, unless a row with the same (policy, sample) was added before.

        Then add nothing, and return whether the two rows have the same content.
        """
        tokens = row.tokens.astype(np.int32).tobytes()
        logps = None if row.logps is None else row.logps.astype(np.float32).tobytes()
        digest = hashlib.sha256(repr((row.text, row.reward)).encode() + tokens).digest()
        earlier = self._db.execute(
            "select digest from rows where prompt = ? and policy = ? and source = ?",
            (prompt, row.policy, row.source_sample),
        ).fetchone()
        if earlier:
            return bool(earlier[0] == digest)
        self._insert("rows", (prompt, *row[:2], tokens, logps, *row[4:], digest))
        return None

    def _insert(self, table: str, values: tuple[Any, ...]) -> int:
        """Insert a row of all columns but `number`; return its number."""
        marks = ", ".join("?" * len(values))
        cursor = self._db.execute(f"insert into {table} values (null, {marks})", values)
        return int(cursor.lastrowid or 0)

    def prompt_ids(self) -> Iterator[tuple[int, str]]:
        """Yield the number and id of each prompt that has rows, in order."""
        yield from self._db.execute(
            "select number, id from prompts where exists "
            "(select 1 from rows where prompt = prompts.number) order by number"
        )

    def rows(self, prompt: int) -> list[ImportedRow]:
        """Return the rows of a prompt in the order of the file."""
        select = (
            "select policy, source, tokens, logps, finish, text, reward from rows "
            "where prompt = ? order by number"
        )
        return [
            ImportedRow(
                policy,
                source,
                np.frombuffer(tokens, np.int32),
                None if logps is None else np.frombuffer(logps, np.float32),
                *rest,
            )
            for policy, source, tokens, logps, *rest in self._db.execute(select, (prompt,))
        ]


@contextlib.contextmanager
def group_by_prompt(directory: Path) -> Iterator[PromptGroups]:
    """Yield empty groups in a temporary file below `directory`; remove the file afterwards."""
    path = files.temporary_of(files.make_directory(directory) / "gathering.sqlite")
    files.remove_path(path)
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            # a temporary file needs no protection against a crash
            connection.execute("pragma journal_mode = off")
            connection.execute("pragma synchronous = off")
            yield PromptGroups(connection)
    except sqlite3.OperationalError as error:
        raise StorageError(f"{path}: {error}; free some space and run the same command") from error
    finally:
        files.remove_path(path)
