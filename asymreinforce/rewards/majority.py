"""Compute maj@k: how often the most frequent answer of a prompt's samples is right.

    votes(a)  = |{i : a_i = a}|                        samples whose extracted answer is a
    maj@k     = mean over prompts of  mean_{a in argmax votes}  right(a)

This is the vote of self-consistency (Wang et al. 2022, arXiv 2203.11171), over all k judged samples
of a prompt. Answers are compared as the texts that the grader extracted, so that 1/2 and 0.5 are
two answers. If several answers have the most votes, the prompt counts by the share of these answers
that is right, the mean of a random choice. right(a) is the share of the samples with the answer a
that count as correct: 0 or 1, if the grader looks at nothing but the answer.

Shapes: B completions, P prompts in the order of their first completion.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from asymreinforce.config import RewardConfig
from asymreinforce.rewards.scale import cut_off, rewards_of

COLUMNS = ["prompt_id", "sample", "finish_reason", "status", "score", "extracted_answer"]


class Majority(NamedTuple):
    """The result of the vote for each prompt."""

    right_P: np.ndarray
    """right(a) of the elected answer; 0 without an answer, NaN if no sample was judged."""
    tied_P: np.ndarray
    """Whether several answers have the most votes."""

    @property
    def accuracy(self) -> float:
        """Return maj@k, the mean over judged prompts."""
        return float(np.nanmean(self.right_P))

    @property
    def ties(self) -> float:
        """Return the share of judged prompts whose vote is tied."""
        return float(self.tied_P[~np.isnan(self.right_P)].mean())


def majority_of(rows: pa.Table, reward: RewardConfig) -> Majority:
    """Let the judged samples of each prompt vote (the columns COLUMNS of EVALUATIONS).

    A completion without an answer has no vote. A completion that was cut off has a vote only with
    `reward.truncated=as_judged`.
    """
    given = rewards_of(rows, reward)
    encoded = rows.column("prompt_id").combine_chunks().dictionary_encode()
    prompt_B, answers = encoded.indices.to_numpy(), rows.column("extracted_answer").to_pylist()
    votes_B = given.kept_B & ((reward.truncated == "as_judged") | ~cut_off(rows))
    correct_P: list[dict[str, list[bool]]] = [
        defaultdict(list) for _ in range(len(encoded.dictionary))
    ]
    for prompt, answer, votes, correct in zip(
        prompt_B, answers, votes_B, given.correct_B, strict=True
    ):
        if votes and answer is not None:
            correct_P[prompt][answer].append(bool(correct))
    elected = [_elect(correct_by_answer) for correct_by_answer in correct_P]
    is_judged_P = np.bincount(prompt_B[given.kept_B], minlength=len(correct_P)) > 0
    right_P = np.where(is_judged_P, [right for right, _ in elected], np.nan)
    return Majority(right_P, np.array([tied for _, tied in elected], dtype=bool))


def _elect(correct_by_answer: dict[str, list[bool]]) -> tuple[float, bool]:
    """Return the mean of right(a) over the answers with the most votes, and whether they tie."""
    most = max(map(len, correct_by_answer.values()), default=0)
    if not most:
        return 0.0, False
    # The mean over ties is what a random choice among them gives, without a seed.
    shares = [sum(votes) / most for votes in correct_by_answer.values() if len(votes) == most]
    return sum(shares) / len(shares), len(shares) > 1
