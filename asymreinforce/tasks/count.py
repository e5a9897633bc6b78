"""A world whose failures are near misses: how often does a letter occur in a row of letters?

    Count a in c a b b a c a a b c a b c c a b =

There is one style of answer (` Answer: 6`). After a short warm-up, at least half of the policy's
wrong answers are off by one. Such a failure shares most of its tokens with a success.
"""

import random
import re
from typing import NamedTuple

from asymreinforce.tasks.world import World

LETTERS = "abc"
LENGTH = 16


class Count(NamedTuple):
    """A question of this world: the letter to count, and the row of letters."""

    letter: str
    row: str

    @property
    def text(self) -> str:
        """The question as the model reads it."""
        return f"Count {self.letter} in {' '.join(self.row)} ="

    @property
    def gold_answer(self) -> str:
        """The number of times that the letter occurs in the row."""
        return str(self.row.count(self.letter))

    @property
    def direct_answer(self) -> str:
        """A right completion in the only style of this world."""
        return f" Answer: {self.gold_answer}"

    @property
    def worked_answer(self) -> str:
        """Same as `direct_answer`, so `policy.embedded.warm_up.worked_share` has no effect."""
        return self.direct_answer


def draw_count(generator: random.Random) -> Count:
    """Draw one of 129 million questions."""
    letter = generator.choice(LETTERS)
    return Count(letter, "".join(generator.choices(LETTERS, k=LENGTH)))


def is_near_miss(answer: str, gold_answer: str) -> bool:
    """Tell whether an answer is a number one above or below the right number."""
    return answer.isascii() and answer.isdigit() and abs(int(answer) - int(gold_answer)) == 1


WORLD = World(
    name="count",
    draw_puzzle=draw_count,
    styles={"direct": re.compile(r" Answer: \d{1,2}")},
    working="",
    # after 280 steps of warm-up, two policies were measured at 22 and 26%
    least_accuracy=0.2,
    version=1,
)
