"""A world of long completions: where does a dial with five marks point after 24 turns?

    Dial B: a 2 b 1 c 2 d 0 =

A worked answer writes the mark after each turn:

     Each: a 2 D b 1 E c 2 B d 0 B Answer: B

A direct answer, which the policy prefers, also copies the turns, but writes the mark only after
every fourth turn. A two-layer network is rarely right about four turns at once.

     Fourths: a 2 b 1 c 2 d 0 B Answer: B

Both styles are long, so that sums over tokens are large in either style.
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
"""The most marks that one turn moves the dial. With turns of all sizes, the mark before a turn says
nothing about the mark after it, and warm-up took too long to learn the turns."""
SKIPPED = 4
"""The number of turns for each mark of a direct answer."""
WORKING = " Each:"


class Dial(NamedTuple):
    """A question of this world: the mark at the start, and the marks that each turn moves."""

    start: int
    turns: tuple[int, ...]

    @property
    def text(self) -> str:
        """The question as the model reads it; each turn is labelled by a letter."""
        turns = " ".join(f"{label} {turn}" for label, turn in self._labelled_turns)
        return f"Dial {MARKS[self.start]}: {turns} ="

    @property
    def marks(self) -> list[str]:
        """The mark after each turn; the last mark is the answer."""
        positions = itertools.accumulate(self.turns, initial=self.start)
        return [MARKS[position % len(MARKS)] for position in positions][1:]

    @property
    def gold_answer(self) -> str:
        """The mark after all turns."""
        return self.marks[-1]

    @property
    def direct_answer(self) -> str:
        """The right completion with the mark after every fourth turn."""
        return f" Fourths:{self._lines(every=SKIPPED)} Answer: {self.gold_answer}"

    @property
    def worked_answer(self) -> str:
        """The right completion with the mark after each turn."""
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
    """Draw one of 5 x 3^24 questions."""
    start = generator.randrange(len(MARKS))
    return Dial(start, tuple(generator.choices(range(LARGEST + 1), k=TURNS)))


WORLD = World(
    name="dial",
    draw_puzzle=draw_dial,
    styles={
        "worked": re.compile(r" Each:(?: [a-z] \d [A-E])+ Answer: [A-E]"),
        "direct": re.compile(r" Fourths:(?:(?: [a-z] \d)+ [A-E])+ Answer: [A-E]"),
    },
    working=WORKING,
    least_accuracy=0.8,
    version=1,
)
