"""A task laid out: its questions by split, and what is known of how they came about."""

from typing import Any, NamedTuple

from asymreinforce.config.task import Split
from asymreinforce.tasks.question import Question


class Laid(NamedTuple):
    """The questions of every split; `facts` are counts, kept with the prompts."""

    questions: dict[Split, list[Question]]
    facts: dict[str, Any]

    @property
    def lines(self) -> list[str]:
        """What a user is told: rows left out, and training questions met again elsewhere."""
        told = []
        for name, reasons in self.facts.get("left_out", {}).items():
            rows = self.facts["rows"][name]
            told += [f"{name}: {n} of {rows} rows left out ({why})" for why, n in reasons.items()]
        for name, count in self.facts.get("contradicted", {}).items():
            told.append(
                f"warning: {name}: {count} rows repeat a question with another gold answer; one of "
                "them marks right answers wrong"
            )
        found = self.facts.get("overlap")
        if not found:
            return told
        for split in ("validation", "held_out"):
            if self.questions[split]:
                told.append(
                    f"overlap: {found[split]['exact']} training questions are {split} questions "
                    f"as well, and {found[split]['near']} nearly so "
                    f"(Jaccard of word {found['ngram']}-grams >= {found['threshold']:g})"
                )
        if repeats := found["repeats_within_train"]:
            told.append(f"overlap: {repeats} training questions repeat another one")
        if found["dropped"]:
            told.append(f"overlap: {found['dropped']} training questions dropped")
        return told
