"""The embedded world: a ball under one of five cups, four swaps, where is it now?

    Ball under 3 Swaps: 4-3 5-4 3-1 3-2 =

A two-layer network can hardly say the answer at once (` Answer: 5`), and nearly always finds it
when it writes down where the ball is after each swap (` Steps: 4 5 5 Answer: 5`). A policy that
does both, mostly the former, leaves reinforcement something to learn: to write the working.
"""

import hashlib
import random
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from asymreinforce.config.task import TaskConfig
from asymreinforce.tasks.question import Question

AnswerStyle = Literal["worked", "direct", "other"]
ANSWER_STYLES: tuple[AnswerStyle, ...] = ("worked", "direct", "other")
WORKED = re.compile(r" Steps:(?: \d)+ Answer: \d")
DIRECT = re.compile(r" Answer: \d")

CUPS = 5
SWAPS = 4
SPLIT_PERCENT = {"warm_up": 70, "train": 20, "validation": 5, "held_out": 5}


class Cups(NamedTuple):
    """A question of this world: the cup the ball starts under, and the swaps."""

    start: int
    swaps: tuple[tuple[int, int], ...]

    @property
    def text(self) -> str:
        """The question as the model reads it."""
        swaps = " ".join(f"{left}-{right}" for left, right in self.swaps)
        return f"Ball under {self.start} Swaps: {swaps} ="

    @property
    def positions(self) -> list[int]:
        """Where the ball is after each swap; the last is the answer."""
        places = [self.start]
        for left, right in self.swaps:
            moves = {left: right, right: left}
            places.append(moves.get(places[-1], places[-1]))
        return places[1:]

    @property
    def direct_answer(self) -> str:
        """The answer at once."""
        return f" Answer: {self.positions[-1]}"

    @property
    def worked_answer(self) -> str:
        """The answer after its working."""
        *steps, answer = self.positions
        return f" Steps: {' '.join(map(str, steps))} Answer: {answer}"


def answer_style(completion: str) -> AnswerStyle:
    """Name the way of answering, right or wrong: at once, with working, or in neither form."""
    if WORKED.fullmatch(completion):
        return "worked"
    return "direct" if DIRECT.fullmatch(completion) else "other"


def split_of(text: str) -> str:
    """Return the split of a question: a function of its text alone, the same for every seed."""
    percent = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % 100
    for name, share in SPLIT_PERCENT.items():
        if percent < share:
            return name
        percent -= share
    raise AssertionError("the shares of the splits sum to 100")


def draw_cups(split: str, *, seed: int) -> Iterator[Cups]:
    """Yield distinct questions of a split, for ever or until the world's 800,000 are used up."""
    generator = random.Random(f"cups-{split}-{seed}")
    seen: set[Cups] = set()
    while True:
        pairs = [generator.sample(range(1, CUPS + 1), 2) for _ in range(SWAPS)]
        question = Cups(generator.randint(1, CUPS), tuple((a, b) for a, b in pairs))
        if question not in seen and split_of(question.text) == split:
            seen.add(question)
            yield question


def cups_questions(config: TaskConfig, split: str) -> Iterator[Question]:
    """Yield the questions of a split with their gold answers; ids are hashes of the text."""
    for question in draw_cups(split, seed=config.seed):
        digest = hashlib.sha256(question.text.encode()).hexdigest()[:12]
        yield Question(f"cups-{digest}", question.text, str(question.positions[-1]))
