"""Compute maj@k: how often the most frequent answer of a prompt's samples is right.

    votes(a)  = |{i : a_i = a}|                        samples whose extracted answer is a
    maj@k     = mean over prompts of  mean_{a in argmax votes}  right(a)

This is the vote of self-consistency (Wang et al. 2022, arXiv 2203.11171), over all k judged samples
of a prompt. Answers are compared as the texts that the grader extracted, so that 1/2 and 0.5 are
two answers. If several answers have the most votes, the prompt counts by the share of these answers
that is right, the mean of a random choice. right(a) is the share of the samples with the answer a
that count as correct: 0 or 1, if the grader looks at nothing but the answer.

Shapes: B completions, P prompts in the order of their first completion, A pairs of prompt, answer.
"""

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
    prompt_B, prompts = encoded.indices.to_numpy(), len(encoded.dictionary)
    votes_B = given.kept_B & ((reward.truncated == "as_judged") | ~cut_off(rows))
    answers = rows.column("extracted_answer")
    votes_B &= answers.is_valid().to_numpy(zero_copy_only=False)
    votes = pa.table({"prompt": prompt_B, "answer": answers, "right": given.correct_B * 1.0})
    by_answer = votes.filter(pa.array(votes_B)).group_by(["prompt", "answer"], use_threads=False)
    counted = by_answer.aggregate([("right", "count"), ("right", "mean")])
    prompt_A, votes_A, right_A = (
        counted.column(name).to_numpy() for name in ("prompt", "right_count", "right_mean")
    )
    most_P = np.zeros(prompts, dtype=np.int64)
    np.maximum.at(most_P, prompt_A, votes_A)
    is_elected_A = votes_A == most_P[prompt_A]
    elected_P = np.bincount(prompt_A[is_elected_A], minlength=prompts)
    # The mean over ties is what a random choice among them gives, without a seed.
    right_P = np.bincount(
        prompt_A[is_elected_A], right_A[is_elected_A], minlength=prompts
    ) / np.maximum(elected_P, 1)
    is_judged_P = np.bincount(prompt_B[given.kept_B], minlength=prompts) > 0
    return Majority(np.where(is_judged_P, right_P, np.nan), elected_P > 1)
