"""M2PO by hand, and its gradient against its algorithm token by token."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from asymreinforce.algorithm import ratio, rivals
from asymreinforce.algorithm.standardised import standardised_advantages
from tests.algorithm import table_policy as naive
from tests.algorithm.computed import gradient
from tests.algorithm.rival_cases import centred, drawn, same_gradient, step_loss

TOLERANCE = 1e-10


def test_m2po_drops_the_largest_constrained_ratios_until_the_mean_is_within_the_limit() -> None:
    """Constrained: A and log rho_t of one sign, squares 0.01, 0.09, 0.25."""
    log_ratio_C = torch.tensor([0.1, -0.3, 0.5, -0.9, 0.8, 0.0], dtype=torch.float64)
    advantages_C = torch.tensor([1.0, -1.0, 2.0, 1.0, -1.0, 1.0], dtype=torch.float64)

    def kept(limit: float) -> list[bool]:
        return rivals.m2po_mask(log_ratio_C, advantages_C, second_moment_limit=limit).tolist()

    # (0.01 + 0.09)/2 = 0.05 is within 0.051
    # the fourth and fifth are far from 1 but push back to mu; the last has rho_t = 1
    assert kept(0.2) == [True, True, True, True, True, True]
    assert kept(0.051) == [True, True, False, True, True, True]
    assert kept(0.04) == [True, False, False, True, True, True]
    assert kept(0.001) == [False, False, False, True, True, True]


def naive_m2po(
    table: Tensor, behaviour: Tensor, sequences: naive.Batch, advantages: list[float], limit: float
) -> Tensor:
    """Algorithm 1 token by token: take the largest away while the mean is above the limit."""
    pi, mu = naive.probabilities(table, sequences), naive.probabilities(behaviour, sequences)
    ratios = {(i, t): p / float(mu[i][t]) for i, own in enumerate(pi) for t, p in enumerate(own)}
    moments = {
        place: math.log(float(rho.detach())) ** 2
        for place, rho in ratios.items()
        if (advantages[place[0]] > 0 and float(rho.detach()) > 1)
        or (advantages[place[0]] < 0 and float(rho.detach()) < 1)
    }
    while moments and sum(moments.values()) / len(moments) > limit:
        largest = max(moments, key=lambda place: moments[place])
        del moments[largest], ratios[largest]
    total: Any = sum(advantages[i] * rho for (i, _), rho in ratios.items())
    return -total / len(pi)


@pytest.mark.parametrize("limit", [0.0, 0.04, 0.3, 1e9])
def test_the_gradient_of_m2po_is_that_of_its_algorithm(limit: float) -> None:
    for seed in range(3):
        table, behaviour, sequences = case = drawn(seed)
        advantages_B = standardised_advantages(sequences.rewards_B, sequences.groups_B)
        written = naive_m2po(table, behaviour, sequences, advantages_B.tolist(), limit)
        computed = step_loss(rivals.m2po, case, advantages_B, second_moment_limit=limit)
        assert computed.item() == pytest.approx(written.item(), abs=TOLERANCE)
        same_gradient(computed, written, table, TOLERANCE)


def test_m2po_without_a_limit_is_the_ratio_without_a_clip() -> None:
    table, _, sequences = case = drawn(5)
    advantages_B = centred(sequences)
    first = step_loss(rivals.m2po, case, advantages_B, second_moment_limit=math.inf)
    second = step_loss(ratio.clipped, case, advantages_B, clip_low=1.0, clip_high=math.inf)
    same_gradient(first, second, table, 1e-14)


def test_a_masked_ratio_that_is_infinite_makes_no_nan() -> None:
    logps_C = torch.tensor([1000.0, -1.0], requires_grad=True)
    losses_B = rivals.m2po(
        logps_C,
        torch.tensor([-1.0, -1.0]),
        torch.tensor([1.0]),
        torch.tensor([0, 0]),
        second_moment_limit=0.04,
    )
    assert gradient(logps_C, losses_B.sum()).tolist() == [0.0, -1.0]


def test_the_mask_of_m2po_is_that_of_all_tokens_given() -> None:
    """So a step cut into micro-batches has other masks; the docstring says so."""
    log_ratio_C = torch.tensor([0.1, 0.3])
    whole = rivals.m2po_mask(log_ratio_C, torch.ones(2), second_moment_limit=0.06)
    second = rivals.m2po_mask(log_ratio_C[1:], torch.ones(1), second_moment_limit=0.06)
    assert (whole.tolist(), second.tolist()) == ([True, True], [False])
