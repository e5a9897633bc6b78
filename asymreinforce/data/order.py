"""The seeded order in which an epoch reads prompts: chunks are permuted, then prompts in chunks."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np


def epoch_order(
    counts: Sequence[int], *, seed: int | None, epoch: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (chunk, order of its prompts) for an epoch, given the number of prompts of each chunk.

    The order is random, or the stored order if `seed` is None.
    """
    if seed is None:
        yield from ((chunk, np.arange(count)) for chunk, count in enumerate(counts))
        return
    for chunk in np.random.default_rng([seed, epoch]).permutation(len(counts)):
        yield chunk, np.random.default_rng([seed, epoch, chunk]).permutation(counts[chunk])


def prompts_from(
    counts: Sequence[int], *, seed: int, first: int, prompts: int
) -> Iterator[tuple[int, int]]:
    """Yield (chunk, place in chunk) of `prompts` prompts, starting at number `first`.

    The order is that of `ScoredRollouts.batches`. After the last prompt the next epoch follows.
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
