"""The groups of earlier rounds that a replay buffer holds, and the groups that a step draws.

    round r   holds   all groups of rounds r - capacity to r - 1
                      some groups of rounds r - 2 capacity to r - capacity - 1, correct rows only
    step s    draws   a fixed number of held groups, uniformly, without replacement

The first line is a first-in-first-out buffer; the second line is its positive bias. A group with a
correct completion that would leave the buffer stays for `capacity` more rounds with probability
`positive_bias`, and only its correct completions are trained on.

A group is the completions of one prompt in one round, and stays whole: the mean of its rewards
estimates V^mu(x) of the policy that drew it. A mean over part of a group, or over groups of several
policies, estimates no policy's value. Draws are a function of seed, step and the group's name.
Nothing is kept from step to step, so that a run can resume anywhere; two arms draw the same of
their common groups, except where one of them holds groups that the other lacks.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from asymreinforce.data.order import prompts_from

SPAN = 2**64
"""Random numbers are whole numbers from 0 to `SPAN` - 1."""


class GroupName(NamedTuple):
    """A group's place: equal in two arms whose rounds have equal prompts."""

    start: int
    """Training steps before the round that drew the group."""
    chunk: int
    """Index of the group's chunk among the chunks of the round's rollouts."""
    place: int
    """Index of the group in its chunk."""


class HeldRounds(NamedTuple):
    """The numbers of the rounds whose groups a buffer holds, oldest first."""

    leaving: range
    """Rounds of which only groups that the positive bias keeps are held."""
    whole: range
    """Rounds of which all groups are held."""


def held_rounds(number: int, *, capacity: int, positive_bias: float) -> HeldRounds:
    """Return the earlier rounds that the buffer of round `number` holds."""
    first = max(0, number - capacity)
    oldest = max(0, number - 2 * capacity) if positive_bias else first
    return HeldRounds(range(oldest, first), range(first, number))


def groups_of_round(
    counts: Sequence[int], *, start: int, seed: int, prompts: int | None
) -> list[GroupName]:
    """Name the groups that a round's steps read; `counts` are the prompts of each chunk.

    Round 0 reads the first `prompts` prompts in the seed's order; `prompts=None` means all.
    """
    # Round 0 reads from the set that all arms share; a later round draws the prompts that it reads.
    if prompts is None:
        places = [(chunk, place) for chunk, n in enumerate(counts) for place in range(n)]
    else:
        places = list(prompts_from(counts, seed=seed, first=0, prompts=prompts))
    return [GroupName(start, *place) for place in dict.fromkeys(places)]


def is_kept_longer(group: GroupName, *, seed: int, positive_bias: float) -> bool:
    """Tell whether the positive bias keeps a group that has a correct completion."""
    return _uniform("kept", seed, *group) < positive_bias * SPAN


def draw_groups(
    groups: Sequence[GroupName], *, seed: int, step: int, count: int
) -> list[GroupName]:
    """Draw `count` groups for a step, uniformly and without replacement.

    If there are fewer than `count` groups, every group is drawn before a group is drawn again.
    """
    # Each group gets a random number by its name, so that other groups do not change its number.
    by_number = sorted(groups, key=lambda group: _uniform("drawn", seed, step, *group))
    return [by_number[index % len(by_number)] for index in range(count)] if by_number else []


def _uniform(*names: str | int) -> int:
    """Return a pseudo-random number below `SPAN`, a function of the names."""
    text = "/".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
