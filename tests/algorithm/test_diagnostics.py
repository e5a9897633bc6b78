"""KL(mu || pi) and importance weights by hand."""

import math

import pytest
import torch

from asymreinforce.algorithm.diagnostics import importance_weights, kl_divergence

MU = torch.tensor([-1.0, -2.0, -3.0, -4.0])


def test_kl_is_exactly_0_where_the_policy_is_mu() -> None:
    assert kl_divergence(MU, MU.clone()) == 0.0


def test_kl_is_the_mean_of_log_mu_minus_log_pi() -> None:
    assert kl_divergence(MU, MU - torch.tensor([0.0, 1.0, 2.0, 3.0])) == 1.5


def test_equal_weights_make_every_sample_effective() -> None:
    found = importance_weights(MU, MU - 5)
    assert found.effective_share == pytest.approx(1.0)
    assert found.log_mean == pytest.approx(-5.0)  # pi left all samples evenly: this says so
    assert found.largest_share == pytest.approx(0.25)


def test_one_dominant_weight_leaves_one_effective_sample() -> None:
    found = importance_weights(MU, MU + torch.tensor([50.0, 0.0, 0.0, 0.0]))
    assert found.effective_share == pytest.approx(1 / 4)
    assert found.largest_share == pytest.approx(1.0)


def test_the_effective_share_is_the_squared_sum_over_the_sum_of_squares() -> None:
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = importance_weights(MU, MU + weights.log())
    assert found.effective_share == pytest.approx(100 / (4 * 30), rel=1e-6)
    assert found.log_mean == pytest.approx(math.log(2.5), rel=1e-6)


def test_weights_far_beyond_the_range_of_floats_do_not_overflow() -> None:
    found = importance_weights(MU, MU + torch.tensor([2000.0, 2000.0, 0.0, 0.0]))
    assert found.effective_share == pytest.approx(0.5)
