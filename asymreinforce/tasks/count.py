"""A world whose failures are near misses: how often is a letter in a row of letters?

    Count a in c a b b a c a a b c a b c c a b =

There is one style of answer (` Answer: 6`). A policy that learned to count for a short while is
off by one in half of its failures or more: nearly right is not right, and what a failure shares
with a success is most of what there is to learn.
"""

import random
import re
from typing import NamedTuple

from asymreinforce.tasks.world import World

LETTERS = "abc"
LENGTH = 16
DIRECT = re.compile(r" Answer: \d{1,2}")


class Count(NamedTuple):
    """A question of this world: the letter that is counted, and the row that it is counted in."""

    letter: str
    row: str

    @property
    def text(self) -> str:
        """The question as the model reads it."""
        return f"Count {self.letter} in {' '.join(self.row)} ="

    @property
    def gold_answer(self) -> str:
        """How often the letter is in the row."""
        return str(self.row.count(self.letter))

    @property
    def direct_answer(self) -> str:
        """The one style of this world."""
        return f" Answer: {self.gold_answer}"

    @property
    def worked_answer(self) -> str:
        """The same: `policy.embedded.warm_up.worked_share` says nothing here."""
        return self.direct_answer


def draw_count(generator: random.Random) -> Count:
    """Draw a question: one of 129 million."""
    letter = generator.choice(LETTERS)
    return Count(letter, "".join(generator.choices(LETTERS, k=LENGTH)))


def answer_style(completion: str) -> str:
    """Tell completions that answer from others."""
    return "direct" if DIRECT.fullmatch(completion) else "other"


def is_near_miss(answer: str, gold_answer: str) -> bool:
    """Tell whether an answer is a number one above or below the right one."""
    return answer.isascii() and answer.isdigit() and abs(int(answer) - int(gold_answer)) == 1


WORLD = World(
    name="count",
    draw_puzzle=draw_count,
    answer_style=answer_style,
    working="",
    least_accuracy=0.2,
    version=1,
)
