"""Rows, masks and micro-batches: a shared prompt changes nothing but the time it takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymreinforce.policy.checkpoint import load_model
from asymreinforce.policy.layout import (
    LONGEST_SHARED_ROW,
    Batch,
    Row,
    Sequences,
    lay_out,
    micro_batches,
    rows_of,
)
from asymreinforce.policy.logps import sequence_sums, token_logps
from tests.policy import naive


def own_rows(batch: Sequences) -> list[Row]:
    return [
        Row([index], len(prompt) + len(completion) - 1)
        for index, (prompt, completion) in enumerate(zip(*batch, strict=True))
    ]


def measured(
    model: Any, batch: Batch, weights_B: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequence log-probabilities, and the gradient of their weighted sum."""
    logps_B = sequence_sums(token_logps(model, batch), batch)
    return logps_B.detach(), naive.gradient_of((logps_B * weights_B.to(logps_B)).sum(), model)


def test_a_shared_row_by_hand() -> None:
    x, a, b = np.array([11, 12, 13]), np.array([21, 22, 23]), np.array([31, 32])
    batch = Sequences([x, x], [a, b])
    assert rows_of(batch) == [Row([0, 1], 6)]
    laid_out = lay_out(batch, rows_of(batch))
    assert laid_out.input_ids_RT.tolist() == [[11, 12, 13, 21, 22, 31]]
    assert laid_out.positions_RT.tolist() == [[0, 1, 2, 3, 4, 3]]
    assert laid_out.predictors_C.tolist() == [2, 3, 4, 2, 5]
    assert laid_out.targets_C.tolist() == [21, 22, 23, 31, 32]
    assert laid_out.sequence_of_C.tolist() == [0, 0, 0, 1, 1]
    assert laid_out.mask_R1TT is not None
    assert laid_out.mask_R1TT[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 0, 0, 1],
    ]


def test_rows_of_one_completion_need_no_mask_and_pad_on_the_right() -> None:
    batch = Sequences([np.array([11]), np.array([12, 13])], [np.array([21]), np.array([31, 32])])
    laid_out = lay_out(batch, rows_of(batch))
    assert laid_out.mask_R1TT is None
    assert laid_out.input_ids_RT.tolist() == [[11, 0, 0], [12, 13, 31]]
    assert laid_out.predictors_C.tolist() == [0, 4, 5]


def test_only_neighbours_of_equal_prompts_share_a_row() -> None:
    x, y, z = np.array([1, 2]), np.array([1, 2]), np.array([1, 3])
    completion = np.array([4, 5])
    rows = rows_of(Sequences([x, y, z, x], [completion] * 4))
    assert rows == [Row([0, 1], 4), Row([2], 3), Row([3], 3)]


def test_a_shared_row_stays_within_its_longest() -> None:
    x, own = np.arange(1, 21), (LONGEST_SHARED_ROW - 20) // 3
    completion = np.arange(1, own + 2)  # its last token is predicted, and stands in no row
    rows = rows_of(Sequences([x] * 7, [completion] * 7))
    assert [row.members for row in rows] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [row.length for row in rows] == [20 + 3 * own, 20 + 3 * own, 20 + own]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 200))
def test_micro_batches_keep_every_row_within_the_budget(lengths: list[int], tokens: int) -> None:
    rows = [Row([index], length) for index, length in enumerate(lengths)]
    batches = micro_batches(rows, tokens=tokens)
    assert sorted(row.members[0] for batch in batches for row in batch) == list(range(len(rows)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(row.length for row in batch) <= tokens


@pytest.mark.parametrize("seed", range(3))
def test_shared_rows_equal_rows_of_their_own_to_1e_12_in_fp64(
    random_policy: Path, seed: int
) -> None:
    model, batch = naive.in_fp64(random_policy), naive.sequences(seed)
    weights_B = torch.linspace(-1, 1, len(batch.prompts), dtype=torch.float64)
    shared = measured(model, lay_out(batch, rows_of(batch)), weights_B)
    alone = measured(model, lay_out(batch, own_rows(batch)), weights_B)
    assert len(rows_of(batch)) == 3 < len(own_rows(batch)) == 9
    torch.testing.assert_close(shared, alone, rtol=1e-12, atol=1e-12)


def test_shared_rows_equal_rows_of_their_own_to_2e_6_in_fp32(random_policy: Path) -> None:
    model, batch = load_model(random_policy), naive.sequences(0)
    weights_B = torch.linspace(-1, 1, len(batch.prompts))
    logps_B, gradient = measured(model, lay_out(batch, rows_of(batch)), weights_B)
    own_logps_B, own_gradient = measured(model, lay_out(batch, own_rows(batch)), weights_B)
    assert float((logps_B - own_logps_B).abs().max() / own_logps_B.abs().max()) < 2e-6
    assert float((gradient - own_gradient).norm() / own_gradient.norm()) < 2e-6


@pytest.mark.parametrize("rows_named", ["shared", "own"])
def test_padding_never_reaches_the_gradient(random_policy: Path, rows_named: str) -> None:
    model, batch = load_model(random_policy), naive.sequences(1)
    laid_out = lay_out(batch, rows_of(batch) if rows_named == "shared" else own_rows(batch))
    padding_RT = laid_out.input_ids_RT == 0
    assert int(padding_RT.sum()) > 5
    weights_B = torch.linspace(-1, 1, len(batch.prompts))
    logps_B, gradient = measured(model, laid_out, weights_B)
    other = laid_out._replace(
        input_ids_RT=torch.where(padding_RT, torch.tensor(287), laid_out.input_ids_RT)
    )
    other_logps_B, other_gradient = measured(model, other, weights_B)
    assert torch.equal(logps_B, other_logps_B)
    assert torch.equal(gradient, other_gradient)


def test_the_embedding_of_the_padding_token_has_gradient_exactly_0(random_policy: Path) -> None:
    model, batch = load_model(random_policy), naive.sequences(1)
    laid_out = lay_out(batch, rows_of(batch))
    token_logps(model, laid_out).sum().backward()  # type: ignore[no-untyped-call]
    gradient_VD = model.get_input_embeddings().weight.grad
    assert gradient_VD[0].abs().sum() == 0  # token 0 stands in no sequence, but in the padding
    assert gradient_VD[int(batch.prompts[0][0])].abs().sum() > 0


def test_token_log_probabilities_equal_the_plain_full_forward(random_policy: Path) -> None:
    model, batch = naive.in_fp64(random_policy), naive.sequences(2)
    found_C = token_logps(model, lay_out(batch, rows_of(batch)))
    expected_C = torch.cat([naive.token_logps(model, x, y) for x, y in zip(*batch, strict=True)])
    torch.testing.assert_close(found_C, expected_C, rtol=1e-12, atol=1e-12)


def test_sequence_log_probabilities_are_sums_over_all_completion_tokens() -> None:
    x = np.array([1, 2])
    batch = Sequences([x, x], [np.array([3, 4, 5]), np.array([6])])
    laid_out = lay_out(batch, rows_of(batch))
    sums_B = sequence_sums(torch.tensor([-1.0, -2.0, -4.0, -8.0]), laid_out)
    assert sums_B.tolist() == [-7.0, -8.0]
