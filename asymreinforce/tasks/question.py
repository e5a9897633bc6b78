"""A question with its gold answer, which every task yields, and all questions of a task."""

import hashlib
from typing import Any, NamedTuple

from asymreinforce.config.task import Split


class Question(NamedTuple):
    """One prompt of a task; `metadata` is JSON that a grader may need."""

    prompt_id: str
    question: str
    gold_answer: str
    level: str | None = None
    subject: str | None = None
    metadata: str | None = None


def text_hash(text: str) -> str:
    """Return 12 hex digits that tell a text from others, for the ids of questions without one."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


class TaskData(NamedTuple):
    """The questions of every split; `facts` are counts, kept with the prompts."""

    questions: dict[Split, list[Question]]
    facts: dict[str, Any]

    @property
    def lines(self) -> list[str]:
        """Lines for the user: rows left out, contradictions, and overlap between splits."""
        notes = []
        for name, reasons in self.facts.get("left_out", {}).items():
            rows = self.facts["rows"][name]
            notes += [f"{name}: {n} of {rows} rows left out ({why})" for why, n in reasons.items()]
        for name, count in self.facts.get("contradicted", {}).items():
            notes.append(
                f"warning: {name}: {count} rows repeat a question with another gold answer; one of "
                "them marks right answers wrong"
            )
        overlap = self.facts.get("overlap")
        if not overlap:
            return notes
        for split in ("validation", "held_out"):
            if self.questions[split]:
                notes.append(
                    f"overlap: {overlap[split]['exact']} training questions are {split} questions "
                    f"as well, and {overlap[split]['near']} nearly so "
                    f"(Jaccard of word {overlap['ngram']}-grams >= {overlap['threshold']:g})"
                )
        if repeats := overlap["repeats_within_train"]:
            notes.append(f"overlap: {repeats} training questions repeat another one")
        if overlap["dropped"]:
            notes.append(f"overlap: {overlap['dropped']} training questions dropped")
        return notes
