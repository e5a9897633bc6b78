"""The search for near duplicates against comparing everything with everything."""

import random

import pytest

from asymreinforce.tasks.overlap import (
    Overlap,
    count_repeats,
    find_overlap,
    jaccard_similarity,
    normal_words,
    word_ngrams,
)


def plainly(train: list[str], evaluation: list[str], *, ngram: int, threshold: float) -> Overlap:
    """Compare every pair."""
    texts = {" ".join(normal_words(text)) for text in evaluation}
    sets = [word_ngrams(normal_words(text), ngram) for text in evaluation]
    exact = [i for i, text in enumerate(train) if " ".join(normal_words(text)) in texts]
    near = [
        i
        for i, text in enumerate(train)
        if i not in exact
        and any(
            jaccard_similarity(word_ngrams(normal_words(text), ngram), other) >= threshold
            for other in sets
        )
    ]
    return Overlap(exact, near)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 1.0])
@pytest.mark.parametrize("ngram", [1, 3, 5])
def test_it_finds_what_comparing_every_pair_finds(ngram: int, threshold: float) -> None:
    generator = random.Random(ngram)

    def text() -> list[str]:
        return [generator.choice("abcdefgh") for _ in range(generator.randint(2, 25))]

    def changed(found: list[str]) -> list[str]:
        copy = list(found)
        for _ in range(generator.randint(0, 3)):
            copy[generator.randrange(len(copy))] = generator.choice("abcdefgh")
        return copy

    base = [text() for _ in range(60)]
    evaluation = [" ".join(found) for found in base]
    train = [" ".join(changed(generator.choice(base))) for _ in range(100)]
    train += [" ".join(text()) for _ in range(60)]
    found = find_overlap(train, evaluation, ngram=ngram, threshold=threshold)
    assert found == plainly(train, evaluation, ngram=ngram, threshold=threshold)
    assert len(found.exact) > 5


def test_case_white_space_and_forms_of_letters_do_not_count_and_numbers_do() -> None:
    found = find_overlap(["WHAT  is\n２?", "what is 3?"], ["What is 2 ?"], ngram=5, threshold=0.9)
    assert found == Overlap(exact=[0], near=[])


def test_repeats_are_counted_once_each() -> None:
    assert count_repeats(["a b", "A  B", "c", "c", "c"]) == 3
    assert find_overlap([], ["a"], ngram=5, threshold=0.8) == find_overlap(
        ["a"], [], ngram=5, threshold=0.8
    )
