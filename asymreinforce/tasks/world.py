"""The type of the embedded worlds: tasks that write questions and right answers in 1 or 2 styles.

Each question has exactly one right answer, so that grading is exact. A hash of its text assigns a
question to a split. The embedded policy is warmed up on right answers, with the styles in the
proportions of `policy.embedded.warm_up`.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from asymreinforce.config.task import TaskConfig
from asymreinforce.tasks.question import Question, text_hash

SPLIT_PERCENT = {"warm_up": 70, "train": 20, "validation": 5, "held_out": 5}


class Puzzle(Protocol):
    """A question of a world; questions are hashable and compare by their contents."""

    @property
    def text(self) -> str:
        """The question as the model reads it."""

    @property
    def gold_answer(self) -> str:
        """The one right answer."""

    @property
    def direct_answer(self) -> str:
        """A right completion in the style that the policy prefers."""

    @property
    def worked_answer(self) -> str:
        """A right completion with its working; same as `direct_answer` in a world of one style."""


P = TypeVar("P", bound=Puzzle)
Name = TypeVar("Name", bound=str)


class World(NamedTuple, Generic[P]):
    """The rules of an embedded world, with the facts that warm-up and reports need."""

    name: str
    draw_puzzle: Callable[[random.Random], P]
    styles: Mapping[str, re.Pattern[str]]
    """The pattern of each style of answers: "worked", "direct"."""
    working: str
    """The text with which only worked answers begin; empty in a world of one style."""
    least_accuracy: float
    """The accuracy of worked answers after warm-up below which a warning is printed."""
    version: int = 0
    """Version of questions and answers: raise it with every change to them."""

    @property
    def identity(self) -> dict[str, Any]:
        """The fields by which a world enters identities; empty at version 0."""
        # version 0 is the first world, which is older than versions: its identities must not change
        return {"world": self.name, "version": self.version} if self.version else {}

    def answer_style(self, completion: str) -> str:
        """Return the style of a completion, right or wrong; "other" if it is in no style."""
        matching = (s for s, pattern in self.styles.items() if pattern.fullmatch(completion))
        return next(matching, "other")

    def draw_puzzles(self, split: str, *, seed: int) -> Iterator[P]:
        """Yield distinct questions of a split without end."""
        generator = random.Random(f"{self.name}-{split}-{seed}")
        seen: set[P] = set()
        while True:
            puzzle = self.draw_puzzle(generator)
            if puzzle not in seen and split_of(puzzle.text) == split:
                seen.add(puzzle)
                yield puzzle

    def questions(self, config: TaskConfig, split: str) -> Iterator[Question]:
        """Yield the questions of a split with their gold answers; ids are hashes of the text."""
        for puzzle in self.draw_puzzles(split, seed=config.seed):
            id_ = f"{self.name}-{text_hash(puzzle.text)}"
            yield Question(id_, puzzle.text, puzzle.gold_answer)


def split_of(text: str) -> str:
    """Return the split of a question, which depends on its text alone and on no seed."""
    # by the text, so that no question is in two splits, whatever the seeds
    percent = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % 100
    return name_at(percent, SPLIT_PERCENT)


def name_at(place: int, sizes: Mapping[Name, int]) -> Name:
    """Return the name that holds a place, if names take so many places each in their order."""
    for name, size in sizes.items():
        if place < size:
            return name
        place -= size
    raise AssertionError("the place lies below the sum of the sizes")
