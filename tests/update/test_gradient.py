"""The cosine of a step's gradient and the moment before it, against moments added up by hand."""

import pytest
import torch
from torch import Tensor

from asymreinforce.update.gradient import momentum_cosine

BETA = 0.9


def optimizer_of(sizes: list[int]) -> torch.optim.AdamW:
    parameters = [torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    return torch.optim.AdamW(parameters, lr=1e-3, betas=(BETA, 0.95), fused=True)


def take_steps(optimizer: torch.optim.AdamW, gradients: list[Tensor]) -> None:
    parameters = optimizer.param_groups[0]["params"]
    for gradient in gradients:
        pieces = gradient.split([len(p) for p in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.clone()
        optimizer.step()


def test_it_is_the_cosine_with_the_decayed_mean_of_earlier_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(7, dtype=torch.float64, generator=generator) for _ in range(4)]
    optimizer = optimizer_of([3, 4])
    take_steps(optimizer, gradients)
    moment = torch.zeros(7, dtype=torch.float64)
    for gradient in gradients[:-1]:
        moment = BETA * moment + (1 - BETA) * gradient
    expected = float(torch.cosine_similarity(moment, gradients[-1], dim=0))
    assert momentum_cosine(optimizer) == pytest.approx(expected, abs=1e-12)


def test_the_scale_of_a_clipped_gradient_does_not_matter() -> None:
    first, second = torch.tensor([3.0, 4.0]).double(), torch.tensor([0.0, 2.0]).double()
    optimizer = optimizer_of([2])
    take_steps(optimizer, [first, second])
    assert momentum_cosine(optimizer) == pytest.approx(0.8, abs=1e-12)


def test_the_same_direction_is_1_and_its_reverse_minus_1() -> None:
    for factor, expected in ((2.0, 1.0), (-2.0, -1.0)):
        optimizer = optimizer_of([2])
        gradient = torch.tensor([3.0, 4.0]).double()
        take_steps(optimizer, [gradient, factor * gradient])
        assert momentum_cosine(optimizer) == pytest.approx(expected, abs=1e-12)


def test_it_is_undefined_after_one_step_and_for_a_gradient_of_zero() -> None:
    optimizer = optimizer_of([2])
    take_steps(optimizer, [torch.ones(2).double()])
    assert momentum_cosine(optimizer) is None
    take_steps(optimizer, [torch.zeros(2).double()])
    assert momentum_cosine(optimizer) is None
