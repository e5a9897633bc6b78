"""The seed of each prompt's request, for engines in which every request has its own.

vLLM on CUDA takes a seed with a request, and gives the i-th of its n completions the seed plus i. A
request without one gets a seed from a generator that every engine start sets to 0: two starts with
other shards would draw the same completions.
"""

BOUND = 2**62
"""vLLM keeps seeds as signed 64-bit integers; the sums below stay in that range."""


def request_seed(seed: int, *, place: int, samples: int) -> int:
    """Return the seed of the prompt at a place of a call; its completions take this one and on.

    The completions of one call have seeds that all differ. It knows nothing of the checkpoint, so
    that evaluations of several checkpoints on the same prompts are paired.
    """
    return seed % BOUND + place * samples
