"""The seed of each prompt's request, for an engine that takes a seed per request.

vLLM on CUDA gives the i-th of a request's n completions the request's seed plus i. Without a seed,
vLLM draws one from a generator that every engine start sets to 0, so that two starts with different
shards would draw the same completions.
"""

BOUND = 2**62
"""vLLM keeps seeds as signed 64-bit integers; seeds below this bound leave room for the sums."""


def request_seed(seed: int, *, place: int, samples: int) -> int:
    """Return the first of `samples` consecutive seeds, for the prompt at index `place` of a call.

    All completions of a call have different seeds.
    """
    # The checkpoint does not enter, so that evaluations of several checkpoints are paired.
    return seed % BOUND + place * samples
