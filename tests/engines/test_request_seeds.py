"""Seeds of requests on CUDA: all different, paired between checkpoints, and within vLLM's range."""

from asymreinforce.engines.stream import request_seed
from asymreinforce.stages.generate import shard_seed

NAMES = [f"rollouts-s{block:03d}-p{chunk:05d}.parquet" for block in range(3) for chunk in range(40)]


def completion_seeds(seed: int, *, prompts: int, samples: int) -> list[int]:
    """As vLLM does it: the i-th completion of a request takes its seed + i."""
    return [
        request_seed(seed, place=place, samples=samples) + i
        for place in range(prompts)
        for i in range(samples)
    ]


def test_no_two_completions_of_a_set_share_a_seed() -> None:
    seeds = [
        seed
        for own in (0, 1)
        for name in NAMES
        for seed in completion_seeds(shard_seed(own, name), prompts=64, samples=8)
    ]
    assert len(set(seeds)) == len(seeds) == 2 * 120 * 64 * 8


def test_the_seed_is_of_the_place_and_the_call_and_the_same_for_every_checkpoint() -> None:
    assert [request_seed(100, place=place, samples=8) for place in range(3)] == [100, 108, 116]
    first, second = (completion_seeds(5, prompts=9, samples=4) for _ in range(2))
    assert first == second


def test_seeds_fit_a_signed_integer_of_64_bits_and_none_is_vllm_s_word_for_no_seed() -> None:
    for seed in (-1, 0, 2**56 - 1, 2**63, 2**80):
        first = request_seed(seed, place=0, samples=2**10)
        last = request_seed(seed, place=2**20, samples=2**10) + 2**10
        assert 0 <= first < last < 2**63
