"""Packed rows: every token once, no padding, the prompt of a group computed once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymreinforce.update.packing import (
    Block,
    Segment,
    Sequences,
    blocks_of,
    fill_bins,
    pack_blocks,
    pack_rows,
)
from tests.fixtures import slow_trainer as naive

NONE = slice(0, 0)


def test_a_row_by_hand() -> None:
    x, a, b = np.array([11, 12, 13]), np.array([21, 22, 23]), np.array([31, 32])
    u, c = np.array([41, 42]), np.array([51])
    batch = Sequences([u, x, x], [c, a, b])
    assert blocks_of(batch, longest=100) == [Block([0], 2), Block([1, 2], 6)]
    (row,) = pack_rows(batch, tokens=100)
    assert row.members == [1, 2, 0]
    assert row.input_ids_T.tolist() == [11, 12, 13, 21, 22, 31, 41, 42]
    assert row.positions_T.tolist() == [0, 1, 2, 3, 4, 3, 0, 1]
    assert row.segments == [
        [Segment(0, 3, NONE), Segment(3, 5, slice(0, 3)), Segment(5, 6, slice(0, 3))],
        [Segment(6, 8, NONE)],
    ]
    assert row.predictors_C.tolist() == [2, 3, 4, 2, 5, 7]
    assert row.targets_C.tolist() == [21, 22, 23, 31, 32, 51]
    assert row.sequence_of_C.tolist() == [0, 0, 0, 1, 1, 2]


def test_a_completion_of_one_token_adds_no_token_to_its_row() -> None:
    x = np.array([11, 12])
    (row,) = pack_rows(Sequences([x, x], [np.array([21]), np.array([31])]), tokens=10)
    assert row.input_ids_T.tolist() == [11, 12]
    assert row.segments == [[Segment(0, 2, NONE)]]
    assert row.predictors_C.tolist() == [1, 1]


def test_only_neighbours_of_equal_prompts_share_a_block() -> None:
    x, y, z = np.array([1, 2]), np.array([1, 2]), np.array([1, 3])
    completion = np.array([4, 5])
    blocks = blocks_of(Sequences([x, y, z, x], [completion] * 4), longest=100)
    assert blocks == [Block([0, 1], 4), Block([2], 3), Block([3], 3)]


def test_a_block_stays_within_its_longest_and_a_longer_sequence_stands_alone() -> None:
    x, completion = np.arange(20), np.arange(11)
    blocks = blocks_of(Sequences([x] * 7, [completion] * 7), longest=50)
    assert [block.members for block in blocks] == [[0, 1, 2], [3, 4, 5], [6]]
    alone = blocks_of(Sequences([x] * 2, [completion] * 2), longest=5)
    assert alone == [Block([0], 30), Block([1], 30)]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 200))
def test_bins_hold_every_item_once_within_their_capacity(lengths: list[int], room: int) -> None:
    bins = fill_bins(lengths, capacity=room)
    assert sorted(item for items in bins for item in items) == list(range(len(lengths)))
    for items in bins:
        assert len(items) == 1 or sum(lengths[item] for item in items) <= room


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80))
def test_no_two_bins_could_be_one(lengths: list[int]) -> None:
    loads = sorted(
        sum(lengths[item] for item in items) for items in fill_bins(lengths, capacity=60)
    )
    assert len(loads) < 2 or loads[0] + loads[1] > 60


def test_best_fit_decreasing_fills_what_first_come_leaves_open() -> None:
    assert len(fill_bins([3, 3, 3, 7, 7, 7], capacity=10)) == 3


@pytest.mark.parametrize("tokens", [1, 12, 50, 10_000])
def test_every_completion_token_is_predicted_once_from_the_token_before_it(tokens: int) -> None:
    batch = naive.sequences(0, groups=5, samples=4)
    seen = []
    for row in pack_rows(batch, tokens=tokens):
        for number, member in enumerate(row.members):
            mine = row.sequence_of_C == number
            whole = np.concatenate([batch.prompts[member], batch.completions[member]])
            before = row.input_ids_T[row.predictors_C[mine]]
            assert before.tolist() == whole[len(batch.prompts[member]) - 1 : -1].tolist()
            assert row.targets_C[mine].tolist() == batch.completions[member].tolist()
            seen.append(member)
    assert sorted(seen) == list(range(20))


def test_no_token_of_a_row_is_padding() -> None:
    batch = naive.sequences(1, groups=5, samples=1)
    rows = list(pack_rows(batch, tokens=30))
    tokens = sum(len(row.input_ids_T) for row in rows)
    assert tokens == sum(len(x) + len(y) - 1 for x, y in zip(*batch, strict=True))
    for row in rows:
        ends = [segment.end for block in row.segments for segment in block]
        starts = [segment.start for block in row.segments for segment in block]
        assert [*starts, len(row.input_ids_T)] == [0, *ends]


def test_the_longest_block_of_a_row_stands_first() -> None:
    batch = naive.sequences(2, groups=6, samples=2)
    row = pack_blocks(batch, blocks_of(batch, longest=1000))
    lengths = [block[-1].end - block[0].start for block in row.segments]
    assert lengths == sorted(lengths, reverse=True)
