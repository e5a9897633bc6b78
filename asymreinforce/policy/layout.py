"""How sequences are laid out in the rectangle that a model computes.

A *row* holds one prompt and the completions that follow it. Completions of the same prompt may
share a row, in which the prompt is computed once: each of them sees the prompt and itself, and its
positions go on from the prompt's.

    tokens     x1 x2 x3 | a1 a2 | b1 b2 b3         the last token of each predicts nothing
    positions   0  1  2 |  3  4 |  3  4  5

Shapes: R rows, T tokens of the longest row, C completion tokens of all rows laid end to end.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Tokens = np.ndarray

LONGEST_SHARED_ROW = 320
"""Tokens. A shared row needs a mask of T x T; beyond this it costs more than the prompts it saves
(measured by `scripts/bench_training_step.py`)."""


class Sequences(NamedTuple):
    """The token ids of B prompts and of their completions."""

    prompts: Sequence[Tokens]
    completions: Sequence[Tokens]

    def take(self, rows: Sequence[int] | np.ndarray) -> "Sequences":
        """Return some of the sequences, in the order of `rows`."""
        return Sequences([self.prompts[r] for r in rows], [self.completions[r] for r in rows])


class Row(NamedTuple):
    """The sequences that share a row, and its tokens."""

    members: list[int]
    length: int


class Batch(NamedTuple):
    """A rectangle of tokens, and where in it the completion tokens are predicted."""

    input_ids_RT: Tensor
    positions_RT: Tensor
    mask_R1TT: Tensor | None
    """What each token sees; None where rows hold one completion: causal order is enough, since
    padding stands on the right, where no real token looks."""
    predictors_C: Tensor
    """Flat places in RT whose next token is a completion token."""
    targets_C: Tensor
    sequence_of_C: Tensor


def rows_of(sequences: Sequences) -> list[Row]:
    """Put consecutive sequences of equal prompts into one row, as long as it stays short."""
    rows: list[Row] = []
    for index, (prompt, completion) in enumerate(
        zip(sequences.prompts, sequences.completions, strict=True)
    ):
        own = len(completion) - 1
        if rows:
            last = rows[-1]
            shared = sequences.prompts[last.members[0]]
            fits = last.length + own <= LONGEST_SHARED_ROW
            if fits and (shared is prompt or np.array_equal(shared, prompt)):
                rows[-1] = Row([*last.members, index], last.length + own)
                continue
        rows.append(Row([index], len(prompt) + own))
    return rows


def micro_batches(rows: Sequence[Row], *, tokens: int) -> list[list[Row]]:
    """Cut rows, sorted by length, into micro-batches of at most `tokens` padded tokens.

    A row longer than the budget stands alone.
    """
    ordered = sorted(rows, key=lambda row: -row.length)
    batches: list[list[Row]] = []
    start = 0
    while start < len(ordered):
        count = max(1, tokens // ordered[start].length)
        batches.append(ordered[start : start + count])
        start += count
    return batches


def lay_out(
    sequences: Sequences, rows: Sequence[Row], *, device: torch.device | str = "cpu"
) -> Batch:
    """Lay rows out; `sequence_of_C` names sequences by their place in the rows, end to end."""
    width = max(row.length for row in rows)
    input_ids = np.zeros((len(rows), width), dtype=np.int64)
    positions = np.tile(np.arange(width), (len(rows), 1))
    segments = np.full((len(rows), width), -1)
    predictors, targets, sequence_of, count = [], [], [], 0
    for index, row in enumerate(rows):
        prompt = sequences.prompts[row.members[0]]
        start = end = len(prompt)
        input_ids[index, :start], segments[index, :start] = prompt, 0
        for segment, member in enumerate(row.members, start=1):
            completion = sequences.completions[member]
            begin, end = end, end + len(completion) - 1
            input_ids[index, begin:end] = completion[:-1]
            positions[index, begin:end] = np.arange(start, start + end - begin)
            segments[index, begin:end] = segment
            offset = index * width
            predictors += [np.array([offset + start - 1]), np.arange(offset + begin, offset + end)]
            targets.append(completion)
            sequence_of.append(np.full(len(completion), count))
            count += 1
    arrays = (np.concatenate(parts) for parts in (predictors, targets, sequence_of))
    predictors_C, targets_C, sequence_of_C = (
        torch.from_numpy(array.astype(np.int64)).to(device) for array in arrays
    )
    shared = any(len(row.members) > 1 for row in rows)
    return Batch(
        torch.from_numpy(input_ids).to(device),
        torch.from_numpy(positions).to(device),
        _mask(segments).to(device) if shared else None,
        predictors_C,
        targets_C,
        sequence_of_C,
    )


def _mask(segments_RT: np.ndarray) -> Tensor:
    """Let each token see the prompt (segment 0) and its own segment, up to itself."""
    query, key = segments_RT[:, :, None], segments_RT[:, None, :]
    causal = np.tri(segments_RT.shape[1], dtype=bool)
    return torch.from_numpy(causal & ((key == query) | (key == 0)))[:, None]
