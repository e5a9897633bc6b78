"""Refuse gold answers that a grader cannot use, since every completion would silently be wrong.

The check runs before anything is graded: by score, evaluation and validation, and before an arm
trains.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from asymreinforce.data.gold_answers import accepted_answers
from asymreinforce.errors import InputError
from asymreinforce.grading.graders import GRADERS, require_known
from asymreinforce.plugins import is_plugin

COLUMNS = ["prompt_id", "gold_answer", "metadata"]
SHOWN = 40
"""Characters of a gold answer that a message quotes."""


def require_usable(
    grader: str, tables: Iterable[pa.Table], *, where: Path, setting: str = "task.grader"
) -> None:
    """Raise `InputError` if a built-in grader cannot use some gold answer of the PROMPTS tables.

    Raises `ConfigError` for an unknown grader. The message names the `setting` of the grader.
    """
    require_known(grader)
    if is_plugin(grader):  # only its author knows which gold answers it can use
        return
    can_use, prompts, unusable = GRADERS[grader].can_use, 0, list[tuple[str, str]]()
    for table in tables:
        for row in table.select([n for n in COLUMNS if n in table.column_names]).to_pylist():
            prompts += 1
            golds = accepted_answers(row.get("metadata"), row["gold_answer"])
            unusable += [(row["prompt_id"], gold) for gold in golds if not can_use(gold)][:1]
    if unusable:
        prompt_id, gold = unusable[0]
        raise InputError(
            f"{where}: {setting}={grader} cannot use {len(unusable)} of {prompts} gold answers, "
            f"such as {gold[:SHOWN]!r} of prompt {prompt_id}: it needs {GRADERS[grader].needs}"
        )
