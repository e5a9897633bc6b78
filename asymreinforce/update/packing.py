"""How the sequences of a step are packed: end to end in rows, no padding token anywhere.

A *block* is a prompt and the completions that follow it. Completions of the same prompt share a
block, in which the prompt is computed once: each of them sees the prompt and itself, and its
positions go on from the prompt's. A *row* holds blocks end to end, up to a budget of tokens.

    tokens     x1 x2 x3 | a1 a2 | b1 b2 b3 || u1 u2 | c1      the last token of each is not here:
    positions   0  1  2 |  3  4 |  3  4  5 ||  0  1 |  2      it predicts nothing

Rows are filled by best-fit decreasing (Johnson 1973): at most 11/9 of the fewest rows, and one.

Shapes: T tokens of a row, C completion tokens of its sequences laid end to end.
"""

import bisect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Tokens = np.ndarray


class Sequences(NamedTuple):
    """The token ids of B prompts and of their completions."""

    prompts: Sequence[Tokens]
    completions: Sequence[Tokens]

    def take(self, rows: Sequence[int] | np.ndarray) -> "Sequences":
        """Return some of the sequences, in the order of `rows`."""
        return Sequences([self.prompts[r] for r in rows], [self.completions[r] for r in rows])


class Block(NamedTuple):
    """The sequences that share a prompt in a row, and the block's tokens."""

    members: list[int]
    length: int


class Segment(NamedTuple):
    """Tokens `start` to `end` of a row: they see `prefix` and, in causal order, each other."""

    start: int
    end: int
    prefix: slice


class PackedRow(NamedTuple):
    """Tokens of a packed row, and where in it the completion tokens are predicted."""

    members: list[int]
    """The sequences of the row by their number in the step, in the order in which they lie."""
    input_ids_T: Tensor
    positions_T: Tensor
    segments: list[list[Segment]]
    """Those of each block, the longest block first."""
    predictors_C: Tensor
    """Places whose next token is a completion token."""
    targets_C: Tensor
    sequence_of_C: Tensor
    """An index into `members` of each completion token."""

    def to(self, device: torch.device) -> "PackedRow":
        """Move the tensors; the rest is for the host."""
        return self._replace(
            input_ids_T=on_device(self.input_ids_T, device),
            positions_T=on_device(self.positions_T, device),
            predictors_C=on_device(self.predictors_C, device),
            targets_C=on_device(self.targets_C, device),
            sequence_of_C=on_device(self.sequence_of_C, device),
        )


def on_device(value: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device, unless it is there (FSDP moves what a model is given).

    A copy from pageable memory waits until a CUDA device has done all that it was given before.
    """
    if value.device.type == device.type:
        return value
    return value.pin_memory().to(device, non_blocking=True)


def blocks_of(sequences: Sequences, *, longest: int) -> list[Block]:
    """Put neighbours of equal prompts into one block, as long as it has at most `longest` tokens.

    A sequence that is longer has a block of its own.
    """
    blocks: list[Block] = []
    for index, (prompt, completion) in enumerate(
        zip(sequences.prompts, sequences.completions, strict=True)
    ):
        added = len(completion) - 1
        if blocks:
            last = blocks[-1]
            shared = sequences.prompts[last.members[0]]
            fits = last.length + added <= longest
            if fits and _are_equal(shared, prompt):
                blocks[-1] = Block([*last.members, index], last.length + added)
                continue
        blocks.append(Block([index], len(prompt) + added))
    return blocks


def _are_equal(left: Tokens, right: Tokens) -> bool:
    """Compare prompts; where they are not read yet, only the same object is the same."""
    if left is right:
        return True
    return isinstance(left, np.ndarray) and np.array_equal(left, right)


def fill_bins(lengths: Sequence[int], *, capacity: int) -> list[list[int]]:
    """Put items into bins of `capacity`, longest first, each where it leaves the least room.

    An item longer than the capacity has a bin of its own. Returns the items' numbers, bin by bin.
    """
    bins: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (room left, bin), in order
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        at = bisect.bisect_left(rooms, (lengths[item], -1))
        if at == len(rooms):
            bins.append([item])
            bisect.insort(rooms, (capacity - lengths[item], len(bins) - 1))
            continue
        room, number = rooms.pop(at)
        bins[number].append(item)
        bisect.insort(rooms, (room - lengths[item], number))
    return bins


def pack_rows(sequences: Sequences, *, tokens: int) -> Iterator[PackedRow]:
    """Yield rows of at most `tokens` tokens; a longer sequence has its own row.

    A row is laid out when its turn comes: all of a large step's at once would be five times its
    token ids.
    """
    blocks = blocks_of(sequences, longest=tokens)
    bins = fill_bins([block.length for block in blocks], capacity=tokens)
    return (pack_blocks(sequences, [blocks[number] for number in numbers]) for numbers in bins)


def pack_blocks(sequences: Sequences, blocks: Sequence[Block]) -> PackedRow:
    """Lay blocks out end to end, the longest first."""
    blocks = sorted(blocks, key=lambda block: -block.length)
    ids: list[Tokens] = []
    positions: list[Tokens] = []
    segments: list[list[Segment]] = []
    predictors: list[Tokens] = []
    start = 0
    for block in blocks:
        prompt = sequences.prompts[block.members[0]]
        prefix = slice(start, start + len(prompt))
        ids.append(prompt)
        positions.append(np.arange(len(prompt)))
        block_segments = [Segment(prefix.start, prefix.stop, slice(0, 0))]
        end = prefix.stop
        for member in block.members:
            begin, completion = end, sequences.completions[member]
            end = begin + len(completion) - 1
            ids.append(completion[:-1])
            positions.append(np.arange(len(prompt), len(prompt) + end - begin))
            predictors += [np.array([prefix.stop - 1]), np.arange(begin, end)]
            if end > begin:
                block_segments.append(Segment(begin, end, prefix))
        alone = len(block.members) == 1
        segments.append([Segment(start, end, slice(0, 0))] if alone else block_segments)
        start = end
    members = [member for block in blocks for member in block.members]
    completions = [sequences.completions[member] for member in members]
    numbers = np.repeat(np.arange(len(members)), [len(tokens) for tokens in completions])
    return PackedRow(
        members,
        _join_integers(ids),
        _join_integers(positions),
        segments,
        _join_integers(predictors),
        _join_integers(completions),
        torch.from_numpy(numbers),
    )


def _join_integers(parts: Sequence[Tokens]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))
