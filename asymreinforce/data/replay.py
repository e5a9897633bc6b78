"""Which groups of earlier rounds a replay buffer holds, and which of them a step draws.

    round r   holds   groups of rounds r - capacity to r - 1                       whole
                      some of rounds r - 2 capacity to r - capacity - 1            the correct ones
    step s    draws   so many of them, each equally likely, none twice

The first line is a first-in-first-out buffer; the second is its positive bias: of the groups that
would leave it, those with a correct completion stay as many rounds again with probability
`positive_bias`, and teach by their correct completions alone.

A group is the completions of one prompt in one round, and stays whole: the mean of their rewards
estimates V^mu(x) of the policy that drew them, and a mean over what is left of a group, or over the
groups of several policies, estimates that of none. Whatever is drawn follows from the seed, the
step, and the group's name: nothing is kept from step to step, so that a run goes on anywhere, and
a group that two arms hold is drawn by both or by neither, but for groups that only one of them has.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from asymreinforce.data.order import prompts_from

SPAN = 2**64


class GroupName(NamedTuple):
    """A group by its place: equal for the groups of two arms whose rounds have equal prompts."""

    start: int
    """The steps before the round that drew it."""
    chunk: int
    """The place of its chunk among those of the round's rollouts."""
    place: int
    """Its place in the chunk."""


class HeldRounds(NamedTuple):
    """The numbers of the rounds whose groups are held, from the oldest on."""

    leaving: range
    """Of these, groups with a correct completion that the positive bias keeps."""
    whole: range
    """Of these, all groups."""


def held_rounds(number: int, *, capacity: int, positive_bias: float) -> HeldRounds:
    """Return the earlier rounds that the buffer of round `number` holds."""
    first = max(0, number - capacity)
    oldest = max(0, number - 2 * capacity) if positive_bias else first
    return HeldRounds(range(oldest, first), range(first, number))


def groups_of_round(
    counts: Sequence[int], *, start: int, seed: int, prompts: int | None
) -> list[GroupName]:
    """Name the groups that a round's steps read, given the prompts of each chunk of its rollouts.

    A later round has drawn its own prompts, and reads all of them. Of the set that all arms share,
    round 0 reads the first `prompts` in the seed's order.
    """
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
    """Draw `count` of the groups for a step, each equally likely, none twice if there are enough.

    Each group draws a number, and the lowest ones are taken. If there are too few of them, all are
    taken before one is taken again.
    """
    by_number = sorted(groups, key=lambda group: _uniform("drawn", seed, step, *group))
    return [by_number[index % len(by_number)] for index in range(count)] if by_number else []


def _uniform(*names: str | int) -> int:
    """Return a number below `SPAN` that follows from the names."""
    text = "/".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
