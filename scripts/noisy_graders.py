"""Graders that are wrong now and then, to see what a grader's errors do to training.

    asymrl sweep 'reward.graders=[scripts.noisy_graders:false_positives_20]' baseline=-0.3,-0.1,0

Rewards follow the noisy grader, and accuracy the exact one (`task.grader`). An error depends on the
gold answer and the text alone, as a real grader's does: the same completion of the same answer
always gets the same verdict.
"""

import hashlib

from asymreinforce.grading.graders import final_answer
from asymreinforce.grading.verdict import Verdict


def false_positives_5(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Call 5% of the wrong completions right."""
    return _with_errors(gold_answer, text, wrong=0.05)


def false_positives_20(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Call 20% of the wrong completions right."""
    return _with_errors(gold_answer, text, wrong=0.2)


def false_negatives_5(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Call 5% of the right completions wrong."""
    return _with_errors(gold_answer, text, right=0.05)


def false_negatives_20(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Call 20% of the right completions wrong."""
    return _with_errors(gold_answer, text, right=0.2)


def _with_errors(gold_answer: str, text: str, *, right: float = 0.0, wrong: float = 0.0) -> Verdict:
    """Turn the verdict of `final_answer` round with the given chance for its kind."""
    verdict = final_answer(None, gold_answer, text)
    if verdict.score is None:
        return verdict
    digest = hashlib.sha256(f"{gold_answer}\n{text}".encode()).digest()
    is_error = int.from_bytes(digest[:8]) / 2**64 < (right if verdict.score else wrong)
    return verdict._replace(score=1 - verdict.score) if is_error else verdict
