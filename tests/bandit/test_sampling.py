from itertools import product

import pytest
import torch
from torch import Tensor

from asymreinforce.algorithm import objective
from asymreinforce.bandit import sampling
from asymreinforce.bandit.config import make_batches, parse_settings
from asymreinforce.bandit.problem import flow_at_gap, flow_at_value
from asymreinforce.bandit.sampling import Groups, estimate_drift, sample_arms
from asymreinforce.bandit.trajectory import run_batch

MU = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
REWARDS = torch.tensor([[0.1, 0.9, 0.4]], dtype=torch.float64)


def mean_estimate(groups: Groups, *, samples: int) -> Tensor:
    """Return E[a_hat] (A,), summed over every outcome of the samples with its probability."""
    outcomes = torch.tensor(list(product(range(3), repeat=samples)))
    drift_TA = estimate_drift(outcomes[None], REWARDS, groups)[:, 0]
    probability_T = MU[0][outcomes].prod(-1)
    return probability_T @ drift_TA


def baseline(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def test_the_estimate_goes_through_the_trainers_advantages() -> None:
    assert sampling.advantages is objective.advantages  # type: ignore[attr-defined]


def test_an_estimate_is_the_mean_advantage_of_each_arms_samples() -> None:
    arms = torch.tensor([[[0, 1, 1, 2]]])
    constant = estimate_drift(arms, REWARDS, Groups(baseline(0.5), None))
    assert constant[0, 0].tolist() == pytest.approx([-0.4 / 4, 0.8 / 4, -0.1 / 4], abs=1e-15)
    # Groups (0, 1) and (1, 2), with means .5 and .65.
    grouped = estimate_drift(arms, REWARDS, Groups(baseline(-0.1), 2))
    assert grouped[0, 0].tolist() == pytest.approx([-0.3 / 4, 0.85 / 4, -0.15 / 4], abs=1e-15)


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_the_mean_at_a_fixed_v_is_the_exact_update(samples: int) -> None:
    for value in (-0.2, 0.4, 0.6):
        exact = flow_at_value(MU, REWARDS, baseline(value)).drift_CA[0]
        found = mean_estimate(Groups(baseline(value), None), samples=samples)
        assert found.tolist() == pytest.approx(exact.tolist(), abs=1e-15)


@pytest.mark.parametrize(("samples", "size"), [(2, 2), (4, 2), (3, 3), (6, 3), (5, 5)])
def test_the_mean_with_group_means_is_g_minus_1_over_g_of_a_shifted_one(
    samples: int, size: int
) -> None:
    for offset in (-0.3, -0.05, 0.0, 0.1):
        shifted = -baseline(offset) * size / (size - 1)
        exact = flow_at_gap(MU, REWARDS, shifted).drift_CA[0] * (size - 1) / size
        found = mean_estimate(Groups(baseline(offset), size), samples=samples)
        assert found.tolist() == pytest.approx(exact.tolist(), abs=1e-15)
        assert float(found.sum()) == pytest.approx(-offset, abs=1e-15)


def test_arms_are_drawn_by_the_inverse_of_the_cumulated_mu() -> None:
    draws = torch.tensor([[[0.0, 0.4999, 0.5, 0.7999, 0.8, 0.9999999]]], dtype=torch.float64)
    assert sample_arms(MU, draws).flatten().tolist() == [0, 0, 1, 1, 2, 2]


def test_an_arm_without_mass_is_never_drawn() -> None:
    mu = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]], dtype=torch.float64)
    draws = torch.linspace(0, 1 - 2**-53, 1001, dtype=torch.float64)[None, None]
    assert set(sample_arms(mu, draws).flatten().tolist()) == {1, 3}


def sampled(**settings: object) -> list[Tensor]:
    """Return the final policies (C, A) and the noise (C,) of each batch."""
    config = parse_settings(
        {"baseline_reference": "group_mean", "samples": 16, "steps": 3000, "arms": 50} | settings
    )
    results = [
        run_batch(batch, config, progress=lambda steps: None) for batch in make_batches(config)
    ]
    policies = [result.policy_RCA[-1] for result in results]
    noises = [result.noise_C for result in results if result.noise_C is not None]
    return [torch.stack(policies), torch.stack(noises)]


def test_the_transition_stands_at_0_for_every_group_size_and_the_noise_does_not() -> None:
    policies, noises = sampled(
        group_size=[2, 4, 16], baseline=[-0.05, 0.05], sampling_seed=[0, 1], seed=43
    )
    top = policies.amax(-1)
    assert float(top[:, :2].max()) < 0.8
    assert float(top[:, 2:].min()) > 0.999
    two, four, sixteen = noises.mean(-1).tolist()
    assert two > 1.15 * four > 1.15 * 1.05 * sixteen


def test_chains_of_one_stream_see_the_same_arms_whatever_runs_beside_them() -> None:
    together, _ = sampled(group_size=4, baseline=[-0.1, -0.05], sampling_seed=[0, 1], steps=200)
    alone, _ = sampled(group_size=4, baseline=[-0.05], sampling_seed=[1], steps=200)
    assert together[0, 3].tolist() == alone[0, 0].tolist()
    assert together[0, 2].tolist() != together[0, 3].tolist()
