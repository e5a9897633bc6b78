"""The words of a report: numbers, counts, and each reference V-hat(x) in sentences and on axes."""

from typing import NamedTuple


def percent_text(share: float) -> str:
    """Write a share in percent: "40.5%"."""
    return f"{100 * share:.1f}%"


def points_text(difference: float) -> str:
    """Write a difference of shares in points, with its sign and a true minus: "−3.0"."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def count_words(number: int, noun: str) -> str:
    """Write a count with its noun: "1 seed", "3 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class ReferenceWords(NamedTuple):
    """Words for V(x) = reference(x) + baseline."""

    counted_from: str
    """The quantity to which the baseline is added."""
    axis: str
    is_critical_at_0: bool = False
    """Whether V(x) at baseline 0 is the mean reward of mu, on each prompt or over the data set."""

    @property
    def formula(self) -> str:
        """V(x) in words, for one prompt."""
        if self.counted_from == "zero":
            return "V(x) = baseline"
        words = self.counted_from.replace("of a prompt", "of the prompt")
        words = words.removeprefix("the ").removeprefix("a ")
        return f"V(x) = {words}{',' if ', ' in words else ''} + baseline"


QUANTITIES = {
    "group_mean": ("the mean reward of a prompt's samples", "group mean reward"),
    "leave_one_out": ("the mean reward of a prompt's other samples", "mean reward of the others"),
    "dataset_mean": ("the mean reward of the data set", "data set mean reward"),
    "group_quantile": ("a quantile of a prompt's rewards", "quantile of the group's rewards"),
    "shrunk_group_mean": (
        "the mean reward of a prompt's samples, shrunk to the data set's",
        "shrunk group mean reward",
    ),
    "length_weighted_mean": (
        "the mean reward of a prompt's samples, weighted by length",
        "group mean reward by length",
    ),
    "minimum_variance": (
        "the mean reward of a prompt's samples, weighted by (pi/mu)^2 and length",
        "minimum-variance mean reward",
    ),
    "limit_support": (
        "the last V at which the limit policy keeps enough of a prompt's samples",
        "last V of the group's support",
    ),
    "running_mean": (
        "the exponential mean reward of the rounds so far",
        "mean reward over rounds",
    ),
}
"""The quantity to which a baseline is added, in a sentence and on an axis."""

CRITICAL_AT_0 = ("group_mean", "leave_one_out", "dataset_mean")
REFERENCES = {
    "zero": ReferenceWords("zero", "baseline V"),
    **{
        name: ReferenceWords(words, f"baseline δV  (V = {short} + δV)", name in CRITICAL_AT_0)
        for name, (words, short) in QUANTITIES.items()
    },
}


def words_of(reference: str) -> ReferenceWords:
    """Return the words for a reference; a user's reference is called by its name."""
    return REFERENCES.get(reference, ReferenceWords(reference, f"baseline  (on {reference})"))
