"""Words around a value that say that it is not the answer, or not the only one."""

import re

DENIED = re.compile(
    r"(?:\b(?:not|never|cannot|neither|nor|than|anything but)|n['’]t)\b"
    r"(?:[ \t*$\"(\\\[]|\b(?:be|been|equal|to|that|the|true|correct|case|think|believe|it|it's|is"
    r"|final|exactly|necessarily|definitely)\b)*$"
)
"""What stands before a value that is denied: `not 42`, `isn't equal to 42`, `less than 42`."""
BOUND = re.compile(
    r"(?:between|from(?= \S+ to )|at (?:least|most)|over|under|above|below|up to)\W{1,4}(?=\d)",
    re.IGNORECASE,
)
"""How a text begins that bounds an answer and does not give it."""
OR = r"\s*(?:[^\W\d_]+\s*)?,?\s*n?or\s+(?:[^\W\d_]+\s+){0,2}"
ALTERNATIVE = re.compile(rf"{OR}(?=[-$\\\d.])")
JOINED = re.compile(rf"{OR}|\s*,?\s*and\s+")
"""What stands between two values that are given as one answer."""
LONGEST_DENIAL = 80


def is_denied(text: str, start: int) -> bool:
    """Tell whether what begins at `start` is said not to be the answer."""
    return DENIED.search(text, max(0, start - LONGEST_DENIAL), start) is not None
