"""The record of a question with its gold answer, which every task yields."""

from typing import NamedTuple


class Question(NamedTuple):
    """One prompt of a task; `metadata` is JSON that a grader may need."""

    prompt_id: str
    question: str
    gold_answer: str
    level: str | None = None
    subject: str | None = None
    metadata: str | None = None
