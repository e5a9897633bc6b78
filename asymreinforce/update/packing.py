"""Pack the sequences of a step end to end into rows, without padding.

A *block* is a prompt and the completions that follow it. Completions of the same prompt share a
block, so that the prompt is computed once. Each completion sees the prompt and itself, and its
positions continue from the prompt's. A *row* holds blocks end to end, up to a budget of tokens.

    tokens     x1 x2 x3 | a1 a2 | b1 b2 b3 || u1 u2 | c1      without each completion's last
    positions   0  1  2 |  3  4 |  3  4  5 ||  0  1 |  2      token, which predicts nothing

Rows are filled by best-fit decreasing (Johnson 1973): at most 11/9 of the fewest rows, plus one.

Shapes: T tokens of a row, C completion tokens of its sequences end to end.
"""

import bisect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Tokens = np.ndarray


class Sequences(NamedTuple):
    """The token ids of B prompts and their completions."""

    prompts: Sequence[Tokens]
    completions: Sequence[Tokens]

    def take(self, rows: Sequence[int] | np.ndarray) -> "Sequences":
        """Return some of the sequences, in the order of `rows`."""
        return Sequences([self.prompts[r] for r in rows], [self.completions[r] for r in rows])


class Block(NamedTuple):
    """Indices of sequences that share a prompt in a row, and the number of the block's tokens."""

    members: list[int]
    length: int


class Segment(NamedTuple):
    """Tokens `start` to `end` of a row, which see `prefix` and, in causal order, each other."""

    start: int
    end: int
    prefix: slice


class PackedRow(NamedTuple):
    """Tokens of a packed row, and the places that predict its completion tokens."""

    members: list[int]
    """Indices in the step of the row's sequences, in the order of the row."""
    input_ids_T: Tensor
    positions_T: Tensor
    segments: list[list[Segment]]
    """Segments of each block, the longest block first."""
    predictors_C: Tensor
    """Place in T whose logits predict each completion token."""
    targets_C: Tensor
    sequence_of_C: Tensor
    """Index in `members` of each completion token's sequence."""

    def to(self, device: torch.device) -> "PackedRow":
        """Return the row with its tensors on a device; members and segments stay on the host."""
        tensors: dict[str, Any] = {
            name: on_device(value, device)
            for name, value in self._asdict().items()
            if isinstance(value, Tensor)
        }
        return self._replace(**tensors)


def on_device(value: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device, unless it is already there."""
    # FSDP has already moved a model's inputs
    if value.device.type == device.type:
        return value
    # pinned, because a copy from pageable memory waits for all queued work of a CUDA device
    return value.pin_memory().to(device, non_blocking=True)


def blocks_of(sequences: Sequences, *, longest: int) -> list[Block]:
    """Put neighbours with equal prompts into blocks of at most `longest` tokens.

    A sequence longer than `longest` gets its own block.
    """
    blocks: list[Block] = []
    for index, (prompt, completion) in enumerate(
        zip(sequences.prompts, sequences.completions, strict=True)
    ):
        added = len(completion) - 1  # the last token predicts nothing
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
    """Compare prompts; prompts that are not read yet are equal only if they are one object."""
    if left is right:
        return True
    return isinstance(left, np.ndarray) and np.array_equal(left, right)


def fill_bins(lengths: Sequence[int], *, capacity: int) -> list[list[int]]:
    """Put items into bins of `capacity`, longest first, each into the fullest bin that fits.

    An item longer than the capacity gets its own bin. Returns the items' indices, bin by bin.
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
    """Yield rows of at most `tokens` tokens; a longer sequence gets its own row."""
    blocks = blocks_of(sequences, longest=tokens)
    bins = fill_bins([block.length for block in blocks], capacity=tokens)
    # row by row: all rows of a large step at once would take five times the memory of its ids
    return (pack_blocks(sequences, [blocks[number] for number in numbers]) for numbers in bins)


def pack_blocks(sequences: Sequences, blocks: Sequence[Block]) -> PackedRow:
    """Pack blocks end to end into one row, the longest first."""
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
        # one completion sees its prompt in causal order anyway: one segment is enough
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
