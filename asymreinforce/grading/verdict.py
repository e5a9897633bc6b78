"""The input and the output of a grader. No heavy imports: worker processes import this module."""

import contextlib
import math
from typing import Any, NamedTuple

from asymreinforce.data.statuses import STATUSES, Status

LONGEST_ANSWER = 1_000
LONGEST_MESSAGE = 200
LATE = "took more CPU time than"
"""The first words of the message of a row that ran out of CPU time."""


class GradedRow(NamedTuple):
    """A completion to be judged: the question's metadata (JSON), its gold answer, and the text."""

    metadata: str | None
    gold_answer: str
    text: str


class Verdict(NamedTuple):
    """The judgement of a grader on a completion; `score` is null unless the status is ok.

    `message` says why a row is `timeout` or `error`, or that a built-in grader ran out of CPU time
    (`LATE`). The message is shown and not stored.
    """

    score: float | None
    extracted_answer: str | None
    status: Status
    message: str | None = None


NO_ANSWER = Verdict(None, None, "no_answer")


def verdict_of(result: Any) -> Verdict:
    """Check a grader's result: a `Verdict`, a score (bool or number), or None for no answer.

    Raises `TypeError` or `ValueError` for anything else, and for a score that is not finite.
    """
    if result is None:
        return NO_ANSWER
    if not isinstance(result, Verdict):
        return Verdict(_finite_score(result), None, "ok")
    score, answer, status, message = result
    if status not in STATUSES:
        raise ValueError(f"the grader returned the status {status!r}")
    if not (answer is None or isinstance(answer, str)):
        raise TypeError(f"the grader returned an extracted answer of type {type(answer).__name__}")
    return Verdict(
        _finite_score(score) if status == "ok" else None,
        storable_text(answer, limit=LONGEST_ANSWER),
        status,
        storable_text(message, limit=LONGEST_MESSAGE),
    )


def failure_verdict(error: BaseException) -> Verdict:
    """Turn an exception of a grader into the verdict of its row, with a short message."""
    text = type(error).__name__
    with contextlib.suppress(Exception):  # a grader's own exception may not even print
        text = f"{text}: {error}"
    return Verdict(None, None, "error", storable_text(text, limit=LONGEST_MESSAGE))


def storable_text(text: str | None, *, limit: int) -> str | None:
    """Cut a text to `limit` characters and replace lone surrogates, which parquet cannot hold."""
    return None if text is None else text[:limit].encode(errors="replace").decode()


def _finite_score(score: Any) -> float:
    if not hasattr(score, "__float__"):
        raise TypeError(f"the grader returned {type(score).__name__}, not a score")
    number = float(score)
    if not math.isfinite(number):
        raise ValueError(f"the grader returned the score {number}")
    return number
