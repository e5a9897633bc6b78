"""Training questions that stand, word for word or nearly, among those a policy is judged on.

*Exact*: equal after normalisation (NFKC, case, white space). *Near*: the sets of word n-grams have
a Jaccard similarity |A ∩ B| / |A ∪ B| of at least the threshold. The search is exact, not by
sketches: two sets that similar share one of each other's rarest n-grams (prefix filtering, Bayardo
et al. 2007, "Scaling up all pairs similarity search"), so that only those are looked up.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

WORD = re.compile(r"\w+|[^\w\s]")


class Overlap(NamedTuple):
    """Positions of the training questions that are, exactly or nearly, evaluated as well."""

    exact: list[int]
    near: list[int]
    """Those that are near and not exact."""


def words(text: str) -> list[str]:
    """Normalise a text and cut it into words, numbers and single signs."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def find(
    train: Iterable[str], evaluation: Sequence[str], *, ngram: int, threshold: float
) -> Overlap:
    """Find the training texts that are equal or near to any evaluation text.

    Memory holds the evaluation texts alone; the training texts are read once.
    """
    index = _Index([words(text) for text in evaluation], ngram=ngram, threshold=threshold)
    exact, near = [], []
    for position, text in enumerate(train):
        found = words(text)
        if " ".join(found) in index.texts:
            exact.append(position)
        elif index.has_near(found):
            near.append(position)
    return Overlap(exact, near)


def repeats(texts: Iterable[str]) -> int:
    """Count the texts that are equal, after normalisation, to one before them."""
    seen: set[str] = set()
    total = 0
    for text in texts:
        seen.add(" ".join(words(text)))
        total += 1
    return total - len(seen)


class _Index:
    """The evaluation texts by their rarest n-grams."""

    def __init__(self, evaluation: list[list[str]], *, ngram: int, threshold: float):
        self._ngram, self._threshold = ngram, threshold
        self.texts = {" ".join(found) for found in evaluation}
        self._sets = [ngrams(found, ngram) for found in evaluation]
        self._counts = Counter(gram for grams in self._sets for gram in grams)
        self._by_gram: defaultdict[str, list[int]] = defaultdict(list)
        for number, grams in enumerate(self._sets):
            for gram in self._prefix(grams):
                self._by_gram[gram].append(number)

    def has_near(self, found: list[str]) -> bool:
        grams = ngrams(found, self._ngram)
        candidates = {n for gram in self._prefix(grams) for n in self._by_gram.get(gram, ())}
        return any(
            similarity(grams, self._sets[number]) >= self._threshold for number in candidates
        )

    def _prefix(self, grams: set[str]) -> list[str]:
        """The rarest n-grams, so many that a set similar enough must hold one of them."""
        # less a hair, since 0.7 * 10 is above 7 in floating point
        size = len(grams) - math.ceil(self._threshold * len(grams) - 1e-9) + 1
        # equally rare ones in one order for all: by the text itself
        return sorted(grams, key=lambda gram: (self._counts[gram], gram))[:size]


def ngrams(found: list[str], size: int) -> set[str]:
    """Return the n-grams of a list of words; a list that is shorter is one n-gram."""
    if len(found) <= size:
        return {" ".join(found)}
    return {" ".join(found[start : start + size]) for start in range(len(found) - size + 1)}


def similarity(left: set[str], right: set[str]) -> float:
    """Jaccard: |A ∩ B| / |A ∪ B|."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
