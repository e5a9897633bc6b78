"""Gold answers that a grader cannot use: no completion would ever be right, and none would say why.

Asked before anything is graded: by score, by evaluation, and by validation while an arm trains.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from asymreinforce.errors import InputError
from asymreinforce.grading.graders import GRADERS
from asymreinforce.plugins import is_plugin

SHOWN = 40
"""Characters of a gold answer that a message quotes."""


def require_usable(grader: str, tables: Iterable[pa.Table], *, where: Path) -> None:
    """Raise `InputError` if a built-in grader cannot use some gold answer of the PROMPTS tables.

    What a user's own grader can use is not known.
    """
    if is_plugin(grader):
        return
    can_use, prompts, unusable = GRADERS[grader].can_use, 0, list[tuple[str, str]]()
    for table in tables:
        prompts += len(table)
        pairs = zip(
            *(table.column(n).to_pylist() for n in ("prompt_id", "gold_answer")), strict=True
        )
        unusable += [(prompt_id, gold) for prompt_id, gold in pairs if not can_use(gold)]
    if unusable:
        prompt_id, gold = unusable[0]
        raise InputError(
            f"{where}: task.grader={grader} cannot use {len(unusable)} of {prompts} gold answers, "
            f"such as {gold[:SHOWN]!r} of prompt {prompt_id}: it needs {GRADERS[grader].needs}"
        )
