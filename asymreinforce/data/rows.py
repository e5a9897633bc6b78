"""Rollouts in memory, with their verdicts.

Shapes: B sequences.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    """One grader's scores and statuses of B rollouts."""

    score_B: np.ndarray
    """NaN if the completion was not judged or gave no answer."""
    status_B: np.ndarray

    def take(self, rows: np.ndarray) -> "Scores":
        """Return the scores of some of the rollouts, in the order given."""
        return Scores(self.score_B[rows], self.status_B[rows])


ByGrader = Mapping[str, Scores]
NO_OTHERS: ByGrader = MappingProxyType({})


class Judged(NamedTuple):
    """All values that the rewards of B rollouts may depend on."""

    own: Scores
    """Scores by the grader that decides correctness."""
    truncated_B: np.ndarray
    others: ByGrader = NO_OTHERS
    """Scores by further graders of `reward.graders`."""
    tokens_B: np.ndarray | None = None
    """Lengths of the completions in tokens; None if they were not read."""


class Behaviour(NamedTuple):
    """Rollouts with the log-probabilities of their tokens under the policy that drew them."""

    prompts: list[np.ndarray]
    completions: list[np.ndarray]
    logps: list[np.ndarray]


class Origins(NamedTuple):
    """The round that drew each of B rows; with replay, a step has rows of several rounds."""

    round_B: np.ndarray
    """The round's number, from 0."""
    start_B: np.ndarray
    """Training steps of the policy that drew the row."""
    is_muted_B: np.ndarray
    """Whether the row only counts in the mean of its group and is not trained on."""

    def take(self, rows: np.ndarray) -> "Origins":
        """Return the origins of some of the rows, in the order given."""
        return Origins(*(column[rows] for column in self))


class Rows(NamedTuple):
    """Rollouts with their verdicts; the rows of a prompt follow each other in order of sample."""

    prompt_id_B: np.ndarray
    sample_B: np.ndarray
    group_B: np.ndarray
    """An integer per row, equal for the rows of one group."""
    prompts: list[np.ndarray]
    """Token ids; like completions and log-probabilities, `Unread` in training by several
    processes."""
    completions: list[np.ndarray]
    score_B: np.ndarray
    """NaN if the completion was not judged or gave no answer."""
    status_B: np.ndarray
    truncated_B: np.ndarray
    behaviour_logps: list[np.ndarray] | None = None
    """log mu of each completion token under the policy that drew the row; None if not read."""
    others: ByGrader = NO_OTHERS
    """Scores by further graders of `reward.graders`."""
    origins: Origins | None = None
    """None if all rows are of one round."""

    @property
    def judged(self) -> Judged:
        """The values that the rewards of the rows may depend on."""
        tokens_B = np.array([len(completion) for completion in self.completions], dtype=np.int64)
        return Judged(Scores(self.score_B, self.status_B), self.truncated_B, self.others, tokens_B)

    def take(self, rows: np.ndarray) -> "Rows":
        """Return some of the rows, in the order given."""
        return Rows(
            self.prompt_id_B[rows],
            self.sample_B[rows],
            self.group_B[rows],
            [self.prompts[row] for row in rows],
            [self.completions[row] for row in rows],
            self.score_B[rows],
            self.status_B[rows],
            self.truncated_B[rows],
            None if self.behaviour_logps is None else [self.behaviour_logps[r] for r in rows],
            {name: scores.take(rows) for name, scores in self.others.items()},
            None if self.origins is None else self.origins.take(rows),
        )

    @property
    def group_starts(self) -> np.ndarray:
        """The first row of each group, followed by the number of rows."""
        changes = np.flatnonzero(np.diff(self.group_B)) + 1
        return np.concatenate([[0], changes, [len(self.group_B)]]).astype(int)


def concatenate_rows(parts: list[Rows]) -> Rows:
    """Join rows end to end; groups of different parts stay different groups."""
    # Parts may hold groups of one prompt that are of different rounds or epochs.
    offsets = np.cumsum([0, *(int(part.group_B.max(initial=-1)) + 1 for part in parts[:-1])])
    origins = [part.origins for part in parts if part.origins is not None]
    return Rows(
        np.concatenate([part.prompt_id_B for part in parts]),
        np.concatenate([part.sample_B for part in parts]),
        np.concatenate([p.group_B + offset for p, offset in zip(parts, offsets, strict=True)]),
        [tokens for part in parts for tokens in part.prompts],
        [tokens for part in parts for tokens in part.completions],
        np.concatenate([part.score_B for part in parts]),
        np.concatenate([part.status_B for part in parts]),
        np.concatenate([part.truncated_B for part in parts]),
        None
        if parts[0].behaviour_logps is None
        else [logps for part in parts for logps in part.behaviour_logps or ()],
        {name: Scores(*_joined([part.others[name] for part in parts])) for name in parts[0].others},
        Origins(*_joined(origins)) if origins else None,
    )


def _joined(parts: Sequence[tuple[np.ndarray, ...]]) -> Iterator[np.ndarray]:
    """Join tuples of columns end to end, column by column."""
    return map(np.concatenate, zip(*parts, strict=True))
