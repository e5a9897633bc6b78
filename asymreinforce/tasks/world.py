"""What the embedded worlds share: a world writes questions, and answers them in one or two styles.

A world is a rule that has exactly one right answer to each question, so that grading is exact. Its
questions fall into splits by a hash of their text. The embedded policy is warmed up on its right
answers, in the proportions that `policy.embedded.warm_up` says.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from asymreinforce.config.task import TaskConfig
from asymreinforce.tasks.question import Question

SPLIT_PERCENT = {"warm_up": 70, "train": 20, "validation": 5, "held_out": 5}


class Puzzle(Protocol):
    """A question of a world; equal and hashable by its contents."""

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
        """A right completion that shows its working; the direct one in a world of one style."""


P = TypeVar("P", bound=Puzzle)


class World(NamedTuple, Generic[P]):
    """The rules of an embedded world, and what warm-up and reports need to know of them."""

    name: str
    draw_puzzle: Callable[[random.Random], P]
    answer_style: Callable[[str], str]
    """Names the style of a completion, right or wrong; `other` if it is in none."""
    working: str
    """How a worked answer begins, which no other answer does; empty in a world of one style."""
    least_accuracy: float
    """Of worked answers after warm-up: below it, the world does not show what it is for."""
    version: int = 0
    """Of questions and answers: raise it with every change to them."""

    @property
    def identity(self) -> dict[str, Any]:
        """What identities hold of a world; nothing at version 0, the first world's, which is
        older than versions."""
        return {"world": self.name, "version": self.version} if self.version else {}

    def draw_puzzles(self, split: str, *, seed: int) -> Iterator[P]:
        """Yield distinct questions of a split, for ever: a world has more than anyone draws."""
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
            digest = hashlib.sha256(puzzle.text.encode()).hexdigest()[:12]
            yield Question(f"{self.name}-{digest}", puzzle.text, puzzle.gold_answer)


def split_of(text: str) -> str:
    """Return the split of a question: a function of its text alone, the same for every seed."""
    percent = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % 100
    for name, share in SPLIT_PERCENT.items():
        if percent < share:
            return name
        percent -= share
    raise AssertionError("the shares of the splits sum to 100")
