"""The default embedded world: a ball is under one of five cups; where is it after four swaps?

    Ball under 3 Swaps: 4-3 5-4 3-1 3-2 =

A two-layer network is rarely right if it answers at once (` Answer: 5`), and nearly always right if
it writes the place of the ball after each swap (` Steps: 4 5 5 Answer: 5`). The warmed-up policy
does both, mostly the former, so that reinforcement learning can teach it to write the working.
"""

import random
import re
from typing import NamedTuple

from asymreinforce.tasks.world import World

ANSWER_STYLES = ("worked", "direct", "other")
CUPS = 5
SWAPS = 4
WORKING = " Steps:"


class Cups(NamedTuple):
    """A question of this world: the cup that the ball starts under, and the swaps."""

    start: int
    swaps: tuple[tuple[int, int], ...]

    @property
    def text(self) -> str:
        """The question as the model reads it."""
        swaps = " ".join(f"{left}-{right}" for left, right in self.swaps)
        return f"Ball under {self.start} Swaps: {swaps} ="

    @property
    def positions(self) -> list[int]:
        """The place of the ball after each swap; the last place is the answer."""
        places = [self.start]
        for left, right in self.swaps:
            moves = {left: right, right: left}
            places.append(moves.get(places[-1], places[-1]))
        return places[1:]

    @property
    def gold_answer(self) -> str:
        """The place of the ball after all swaps."""
        return str(self.positions[-1])

    @property
    def direct_answer(self) -> str:
        """The right completion that answers at once."""
        return f" Answer: {self.gold_answer}"

    @property
    def worked_answer(self) -> str:
        """The right completion that answers after its working."""
        *steps, answer = self.positions
        return f"{WORKING} {' '.join(map(str, steps))} Answer: {answer}"


def draw_cup_game(generator: random.Random) -> Cups:
    """Draw one of 800,000 questions."""
    pairs = [generator.sample(range(1, CUPS + 1), 2) for _ in range(SWAPS)]
    return Cups(generator.randint(1, CUPS), tuple((a, b) for a, b in pairs))


WORLD = World(
    name="cups",
    draw_puzzle=draw_cup_game,
    styles={
        "worked": re.compile(r" Steps:(?: \d)+ Answer: \d"),
        "direct": re.compile(r" Answer: \d"),
    },
    working=WORKING,
    least_accuracy=0.95,
)
draw_cups, answer_style = WORLD.draw_puzzles, WORLD.answer_style
