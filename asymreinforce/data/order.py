"""The seeded order in which an epoch reads a pool of prompts: chunks, then the prompts of each."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np


def epoch_order(
    counts: Sequence[int], *, seed: int | None, epoch: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (chunk, order of its prompts) of an epoch, given the prompts of each chunk.

    Chunks are permuted, and then the prompts of each; `seed=None` leaves all as it is stored.
    """
    if seed is None:
        yield from ((chunk, np.arange(count)) for chunk, count in enumerate(counts))
        return
    for chunk in np.random.default_rng([seed, epoch]).permutation(len(counts)):
        yield chunk, np.random.default_rng([seed, epoch, chunk]).permutation(counts[chunk])


def prompts_from(
    counts: Sequence[int], *, seed: int, first: int, prompts: int
) -> Iterator[tuple[int, int]]:
    """Yield (chunk, place in it) of `prompts` prompts in the order of `batches`, from `first` on.

    A pool that is used up begins again, in the next epoch's order.
    """
    epoch, skip = divmod(first, sum(counts))
    while prompts:
        places = (
            (int(chunk), int(place))
            for chunk, order in epoch_order(counts, seed=seed, epoch=epoch)
            for place in order
        )
        taken = list(itertools.islice(places, skip, skip + prompts))
        yield from taken
        epoch, skip, prompts = epoch + 1, 0, prompts - len(taken)
