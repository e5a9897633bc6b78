"""The search for near duplicates against comparing everything with everything."""

import random

import pytest

from asymreinforce.tasks.overlap import Overlap, find, ngrams, repeats, similarity, words


def plainly(train: list[str], evaluation: list[str], *, ngram: int, threshold: float) -> Overlap:
    """Compare every pair."""
    texts = {" ".join(words(text)) for text in evaluation}
    sets = [ngrams(words(text), ngram) for text in evaluation]
    exact = [i for i, text in enumerate(train) if " ".join(words(text)) in texts]
    near = [
        i
        for i, text in enumerate(train)
        if i not in exact
        and any(similarity(ngrams(words(text), ngram), other) >= threshold for other in sets)
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
    found = find(train, evaluation, ngram=ngram, threshold=threshold)
    assert found == plainly(train, evaluation, ngram=ngram, threshold=threshold)
    assert len(found.exact) > 5


def test_case_white_space_and_forms_of_letters_do_not_count_and_numbers_do() -> None:
    found = find(["WHAT  is\n２?", "what is 3?"], ["What is 2 ?"], ngram=5, threshold=0.9)
    assert found == Overlap(exact=[0], near=[])


def test_repeats_are_counted_once_each() -> None:
    assert repeats(["a b", "A  B", "c", "c", "c"]) == 3
    assert find([], ["a"], ngram=5, threshold=0.8) == find(["a"], [], ngram=5, threshold=0.8)
