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
    formula: str
    axis: str
    is_critical_at_0: bool = False
    """Whether V(x) at baseline 0 is the mean reward of mu, on each prompt or over the data set."""


REFERENCES = {
    "group_mean": ReferenceWords(
        "the mean reward of a prompt's samples",
        "V(x) = mean reward of the prompt's samples + baseline",
        "baseline δV  (V = group mean reward + δV)",
        is_critical_at_0=True,
    ),
    "leave_one_out": ReferenceWords(
        "the mean reward of a prompt's other samples",
        "V(x) = mean reward of the prompt's other samples + baseline",
        "baseline δV  (V = mean reward of the others + δV)",
        is_critical_at_0=True,
    ),
    "dataset_mean": ReferenceWords(
        "the mean reward of the data set",
        "V(x) = mean reward of the data set + baseline",
        "baseline δV  (V = data set mean reward + δV)",
        is_critical_at_0=True,
    ),
    "zero": ReferenceWords("zero", "V(x) = baseline", "baseline V"),
    "group_quantile": ReferenceWords(
        "a quantile of a prompt's rewards",
        "V(x) = quantile of the prompt's rewards + baseline",
        "baseline δV  (V = quantile of the group's rewards + δV)",
    ),
    "shrunk_group_mean": ReferenceWords(
        "the mean reward of a prompt's samples, shrunk to the data set's",
        "V(x) = mean reward of the prompt's samples, shrunk to the data set's, + baseline",
        "baseline δV  (V = shrunk group mean reward + δV)",
    ),
    "length_weighted_mean": ReferenceWords(
        "the mean reward of a prompt's samples, weighted by length",
        "V(x) = mean reward of the prompt's samples, weighted by length, + baseline",
        "baseline δV  (V = group mean reward by length + δV)",
    ),
    "minimum_variance": ReferenceWords(
        "the mean reward of a prompt's samples, weighted by (pi/mu)^2 and length",
        "V(x) = mean reward of the prompt's samples, weighted by (pi/mu)^2 and length, + baseline",
        "baseline δV  (V = minimum-variance mean reward + δV)",
    ),
    "limit_support": ReferenceWords(
        "the last V at which the limit policy keeps enough of a prompt's samples",
        "V(x) = last V at which the limit policy keeps enough of the prompt's samples + baseline",
        "baseline δV  (V = last V of the group's support + δV)",
    ),
    "running_mean": ReferenceWords(
        "the exponential mean reward of the rounds so far",
        "V(x) = exponential mean reward of the rounds so far + baseline",
        "baseline δV  (V = mean reward over rounds + δV)",
    ),
}


def words_of(reference: str) -> ReferenceWords:
    """Return the words for a reference; a user's reference is called by its name."""
    own = ReferenceWords(reference, f"V(x) = {reference} + baseline", f"baseline  (on {reference})")
    return REFERENCES.get(reference, own)
