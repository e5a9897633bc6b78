"""maj@k against a plain reference, and what ties, missing answers and unjudged samples do."""

import math
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from asymreinforce.config import RewardConfig
from asymreinforce.rewards.majority import majority_of

Sample = tuple[str | None, float | None, str, str]
"""Answer, score, status and how the completion ended."""


def table(prompts: list[list[Sample]]) -> pa.Table:
    rows = [
        {
            "prompt_id": f"p{place}",
            "sample": number,
            "extracted_answer": answer,
            "score": score,
            "status": status,
            "finish_reason": reason,
        }
        for place, samples in enumerate(prompts)
        for number, (answer, score, status, reason) in enumerate(samples)
    ]
    schema = pa.schema(
        {
            "prompt_id": pa.string(),
            "sample": pa.int32(),
            "extracted_answer": pa.string(),
            "score": pa.float64(),
            "status": pa.string(),
            "finish_reason": pa.string(),
        }
    )
    return pa.Table.from_pylist(rows, schema=schema)


def right(answer: str = "7") -> Sample:
    return (answer, 1.0, "ok", "stop")


def wrong(answer: str) -> Sample:
    return (answer, 0.0, "ok", "stop")


NONE: Sample = (None, None, "no_answer", "stop")
UNJUDGED: Sample = (None, None, "timeout", "stop")


@pytest.mark.parametrize(
    ("samples", "expected", "tied"),
    [
        ([right(), right(), wrong("3")], 1.0, False),
        ([right(), wrong("3"), wrong("3")], 0.0, False),
        ([right(), wrong("3")], 0.5, True),
        ([right(), wrong("3"), wrong("4")], 1 / 3, True),
        ([right("1/2"), right("0.5"), wrong("3"), wrong("3")], 0.0, False),
        ([right(), NONE, NONE], 1.0, False),
        ([NONE, NONE], 0.0, False),
        ([right(), UNJUDGED, UNJUDGED], 1.0, False),
    ],
)
def test_the_answer_of_most_samples_counts_and_ties_are_shared(
    samples: list[Sample], expected: float, tied: bool
) -> None:
    vote = majority_of(table([samples]), RewardConfig())
    assert vote.accuracy == pytest.approx(expected, abs=1e-12)
    assert vote.tied_P.tolist() == [tied]


def test_a_completion_that_was_cut_off_votes_only_if_it_is_judged_as_it_stands() -> None:
    cut: Sample = ("3", 0.0, "ok", "length")
    rows = table([[right(), cut, cut]])
    assert majority_of(rows, RewardConfig()).accuracy == 1.0
    assert majority_of(rows, RewardConfig(truncated="as_judged")).accuracy == 0.0


def test_a_prompt_without_a_judged_sample_is_in_no_mean() -> None:
    vote = majority_of(table([[right()], [UNJUDGED]]), RewardConfig())
    assert (vote.accuracy, vote.ties) == (1.0, 0.0)
    assert math.isnan(vote.right_P[1])


def reference(samples: list[Sample]) -> float | None:
    """maj@k of a prompt by its definition, in the plainest way: an average over random breaks."""
    judged = [sample for sample in samples if sample[2] in ("ok", "no_answer")]
    if not judged:
        return None
    ballots = [s for s in judged if s[0] is not None and s[3] == "stop"]
    if not ballots:
        return 0.0
    most = max(sum(other[0] == one[0] for other in ballots) for one in ballots)
    winners = {b[0] for b in ballots if sum(other[0] == b[0] for other in ballots) == most}
    values: list[Any] = []
    for winner in winners:
        scores = [ballot[1] for ballot in ballots if ballot[0] == winner]
        values.append(sum(score == 1.0 for score in scores) / len(scores))
    return float(sum(values) / len(values))


def test_random_groups_agree_with_a_plain_reference() -> None:
    draw = random.Random(7)

    def sample() -> Sample:
        status = draw.choice(["ok"] * 6 + ["no_answer", "timeout"])
        if status != "ok":
            return (None, None, status, "stop")
        answer = draw.choice("abcd")
        score = draw.random() if draw.random() < 0.1 else float(answer == "a")
        return (answer, score, "ok", draw.choice(["stop"] * 5 + ["length"]))

    prompts = [[sample() for _ in range(draw.randint(1, 9))] for _ in range(400)]
    expected = [reference(samples) for samples in prompts]
    vote = majority_of(table(prompts), RewardConfig())
    known = [np.nan if value is None else value for value in expected]
    np.testing.assert_allclose(vote.right_P, known, rtol=0, atol=1e-12)
    assert vote.tied_P.sum() > 40 and np.isnan(vote.right_P).sum() > 3
