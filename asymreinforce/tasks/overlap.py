"""Find training questions that are equal or nearly equal to questions of evaluation.

*Exact*: equal after normalisation (NFKC, case, white space). *Near*: the sets of word n-grams have
a Jaccard similarity |A ∩ B| / |A ∪ B| of at least the threshold. The search is exact, not by
sketches. Two sets that are so similar share one of each other's rarest n-grams, so only these are
looked up (prefix filtering, Bayardo et al. 2007, "Scaling up all pairs similarity search").
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

WORD = re.compile(r"\w+|[^\w\s]")


class Overlap(NamedTuple):
    """The positions of training questions that are exactly or nearly equal to evaluated ones."""

    exact: list[int]
    near: list[int]
    """The positions of questions that are near and not exact."""


def normal_words(text: str) -> list[str]:
    """Return the words, numbers and single signs of a text after normalisation."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def find_overlap(
    train: Iterable[str], evaluation: Sequence[str], *, ngram: int, threshold: float
) -> Overlap:
    """Find the training texts that are equal or near to any evaluation text.

    Only the evaluation texts are kept in memory; the training texts are read once.
    """
    index = _Index([normal_words(text) for text in evaluation], ngram=ngram, threshold=threshold)
    exact, near = [], []
    for position, text in enumerate(train):
        words = normal_words(text)
        if " ".join(words) in index.texts:
            exact.append(position)
        elif index.has_near(words):
            near.append(position)
    return Overlap(exact, near)


def count_repeats(texts: Iterable[str]) -> int:
    """Count the texts that are equal to an earlier text after normalisation."""
    seen: set[str] = set()
    total = 0
    for text in texts:
        seen.add(" ".join(normal_words(text)))
        total += 1
    return total - len(seen)


class _Index:
    """An index of the evaluation texts by their rarest n-grams."""

    def __init__(self, evaluation: list[list[str]], *, ngram: int, threshold: float):
        self._ngram, self._threshold = ngram, threshold
        self.texts = {" ".join(words) for words in evaluation}
        self._sets = [word_ngrams(words, ngram) for words in evaluation]
        self._counts = Counter(gram for grams in self._sets for gram in grams)
        self._by_gram: defaultdict[str, list[int]] = defaultdict(list)
        for number, grams in enumerate(self._sets):
            for gram in self._rarest_ngrams(grams):
                self._by_gram[gram].append(number)

    def has_near(self, words: list[str]) -> bool:
        grams = word_ngrams(words, self._ngram)
        candidates = {n for gram in self._rarest_ngrams(grams) for n in self._by_gram.get(gram, ())}
        return any(
            jaccard_similarity(grams, self._sets[number]) >= self._threshold
            for number in candidates
        )

    def _rarest_ngrams(self, grams: set[str]) -> list[str]:
        """Return so many of the rarest n-grams that a similar enough set must hold one of them."""
        # minus 1e-9, because 0.7 * 10 is above 7 in floating point
        size = len(grams) - math.ceil(self._threshold * len(grams) - 1e-9) + 1
        # ties by text, because prefix filtering needs the same order in all sets
        return sorted(grams, key=lambda gram: (self._counts[gram], gram))[:size]


def word_ngrams(words: list[str], size: int) -> set[str]:
    """Return the n-grams of a list of words; a shorter list is a single n-gram."""
    if len(words) <= size:
        return {" ".join(words)}
    return {" ".join(words[start : start + size]) for start in range(len(words) - size + 1)}


def jaccard_similarity(left: set[str], right: set[str]) -> float:
    """Return the Jaccard similarity |A ∩ B| / |A ∪ B|."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
