"""Format shares, differences of shares, and counts for a report."""


def percent_text(share: float) -> str:
    """Write a share in percent: "40.5%"."""
    return f"{100 * share:.1f}%"


def points_text(difference: float) -> str:
    """Write a difference of shares in points, with its sign and a true minus: "−3.0"."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def count_words(number: int, noun: str) -> str:
    """Write a count with its noun: "1 seed", "3 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
