"""A world of long completions: a dial with five marks is turned 24 times, where does it point?

    Dial B: a 2 b 1 c 2 d 0 =

A worked answer writes down where the dial points after each turn,

     Each: a 2 D b 1 E c 2 B d 0 B Answer: B

and the one that the policy prefers copies the turns too, but says where the dial points after every
fourth alone: four turns at once, which a two-layer network can hardly make.

     Fourths: a 2 b 1 c 2 d 0 B Answer: B

Both are long, so that sums over tokens are large whatever the style.
"""

import itertools
import random
import re
import string
from typing import NamedTuple

from asymreinforce.tasks.world import World

MARKS = "ABCDE"
TURNS = 24
LARGEST = 2
"""Marks that one turn moves the dial on by, at most. With turns of all sizes, knowing where the
dial pointed would say nothing of where it points next, and warm-up took too long to learn it."""
SKIPPED = 4
"""Turns between two marks of a direct answer."""
WORKING = " Each:"
WORKED = re.compile(r" Each:(?: [a-z] \d [A-E])+ Answer: [A-E]")
DIRECT = re.compile(r" Fourths:(?:(?: [a-z] \d)+ [A-E])+ Answer: [A-E]")


class Dial(NamedTuple):
    """A question of this world: where the dial points, and how far each turn moves it on."""

    start: int
    turns: tuple[int, ...]

    @property
    def text(self) -> str:
        """The question as the model reads it; each turn has a letter for its name."""
        turns = " ".join(f"{label} {turn}" for label, turn in self._labelled_turns)
        return f"Dial {MARKS[self.start]}: {turns} ="

    @property
    def marks(self) -> list[str]:
        """Where the dial points after each turn; the last is the answer."""
        positions = itertools.accumulate(self.turns, initial=self.start)
        return [MARKS[position % len(MARKS)] for position in positions][1:]

    @property
    def gold_answer(self) -> str:
        """Where the dial points in the end."""
        return self.marks[-1]

    @property
    def direct_answer(self) -> str:
        """The turns, and the mark after every fourth one."""
        return f" Fourths:{self._lines(every=SKIPPED)} Answer: {self.gold_answer}"

    @property
    def worked_answer(self) -> str:
        """The turns, and the mark after each."""
        return f"{WORKING}{self._lines(every=1)} Answer: {self.gold_answer}"

    @property
    def _labelled_turns(self) -> list[tuple[str, int]]:
        return list(zip(string.ascii_lowercase, self.turns, strict=False))

    def _lines(self, *, every: int) -> str:
        lines = zip(self._labelled_turns, self.marks, strict=True)
        return "".join(
            f" {label} {turn}" + (f" {mark}" if number % every == 0 else "")
            for number, ((label, turn), mark) in enumerate(lines, start=1)
        )


def draw_dial(generator: random.Random) -> Dial:
    """Draw a question: one of 5 x 3^24."""
    start = generator.randrange(len(MARKS))
    return Dial(start, tuple(generator.choices(range(LARGEST + 1), k=TURNS)))


def answer_style(completion: str) -> str:
    """Name the style of a completion, right or wrong: marks of all, of a few, or neither."""
    if WORKED.fullmatch(completion):
        return "worked"
    return "direct" if DIRECT.fullmatch(completion) else "other"


WORLD = World(
    name="dial",
    draw_puzzle=draw_dial,
    answer_style=answer_style,
    working=WORKING,
    least_accuracy=0.8,
    version=1,
)
