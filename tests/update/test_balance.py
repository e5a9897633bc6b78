"""How a step is shared out over ranks: every sequence once, equal cost, as many rows each."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymreinforce.model.checkpoint import load_model
from asymreinforce.update.attention import packed_attention
from asymreinforce.update.balance import Cost, assign_items, idle_row, rows_of_rank
from asymreinforce.update.log_probs import Gradient, Scorer
from asymreinforce.update.packing import PackedRow, Sequences
from tests.fixtures import slow_trainer as naive

COST = Cost(token=3.0, scored=2.0, pair=0.1)


def shares(
    sequences: Sequences, *, ranks: int, tokens: int, cost: Cost = COST
) -> list[list[PackedRow]]:
    return [
        rows_of_rank(sequences, number=number, count=ranks, tokens=tokens, cost=cost)
        for number in range(ranks)
    ]


@given(
    st.integers(0, 1000),
    st.integers(0, 6),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(4, 60),
)
def test_every_sequence_is_in_one_row_of_one_rank_and_all_have_as_many_rows(
    seed: int, groups: int, samples: int, ranks: int, tokens: int
) -> None:
    sequences = naive.sequences(seed, groups=groups, samples=samples)
    found = shares(sequences, ranks=ranks, tokens=tokens)
    members = [member for rows in found for row in rows for member in row.members]
    assert sorted(members) == list(range(groups * samples))
    assert len({len(rows) for rows in found}) == 1
    for row in (row for rows in found for row in rows if len(row.members) > 1):
        assert len(row.input_ids_T) <= tokens


def test_ranks_differ_by_little_in_cost_on_lengths_that_differ_by_much() -> None:
    generator = np.random.default_rng(0)
    lengths = np.clip(generator.lognormal(5, 0.8, 128), 8, 2048).astype(int)
    prompts = [np.full(40, 1 + i // 8) for i in range(128)]
    sequences = Sequences(prompts, [np.ones(n, dtype=int) for n in lengths])
    tokens = [
        sum(len(row.input_ids_T) for row in rows)
        for rows in shares(sequences, ranks=8, tokens=4096, cost=Cost(1, 0, 0))
    ]
    once = lengths.sum() - 128 + 16 * 40
    assert max(tokens) < 1.15 * once / 8  # prompts that are computed again included


def test_a_group_that_is_more_than_a_rank_s_part_is_cut() -> None:
    """One prompt of three samples on three ranks: a sample each, the prompt thrice."""
    sequences = naive.sequences(0, groups=1)
    found = shares(sequences, ranks=3, tokens=1000)
    assert sorted(row.members for (row,) in found) == [[0], [1], [2]]


def test_a_step_of_nothing_has_no_rows() -> None:
    assert shares(Sequences([], []), ranks=2, tokens=100) == [[], []]


def test_items_are_dealt_longest_first() -> None:
    assert assign_items([2, 7, 4, 3], ranks=2) == [[1, 0], [2, 3]]  # 9 and 7


@given(st.lists(st.integers(1, 100), min_size=1, max_size=8), st.integers(2, 3))
def test_the_largest_hand_is_at_most_4_thirds_of_the_best(costs: list[int], hands: int) -> None:
    """Graham 1969."""
    best = min(
        max(sum(c for c, h in zip(costs, split, strict=True) if h == hand) for hand in range(hands))
        for split in np.ndindex(*[hands] * len(costs))
    )
    largest = max(sum(costs[item] for item in hand) for hand in assign_items(costs, ranks=hands))
    assert largest <= (4 / 3 - 1 / (3 * hands)) * best + 1e-9


def test_a_model_s_cost_counts_its_body_head_and_attention(random_policy: Path) -> None:
    """2 layers of width 16: q, o 16x16; k, v 16x8; three of 16x32; two norms; and a last one."""
    model = load_model(random_policy)
    body = 2 * (2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 32 + 2 * 16) + 16
    vocabulary = model.config.vocab_size
    assert Cost.of(model) == (6 * body, 6 * 16 * vocabulary, 12 * 2 * 16)


def test_an_idle_row_scores_nothing_and_has_a_gradient_of_zeros(random_policy: Path) -> None:
    model = load_model(random_policy)
    with packed_attention(model):
        made = Scorer(model)(idle_row(), torch.zeros(0))
        assert isinstance(made, Gradient)
        made.finish()
    assert float(made.made.loss) == 0 and made.made.logps_C.shape == (0,)
    assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)
    assert sum(p.grad is not None for p in model.parameters()) == len(list(model.parameters()))


@pytest.mark.parametrize("ranks", [2, 8])
def test_idle_rows_stand_last(ranks: int) -> None:
    for rows in shares(naive.sequences(1, groups=3), ranks=ranks, tokens=12):
        idle = [not row.members for row in rows]
        assert idle == sorted(idle)
