"""Objectives and references of a whole step by hand, their identities, and one baseline's gradient.

`test_rivals.py` holds the gradients of M2PO and DPO against loops over tokens and pairs.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from asymreinforce.algorithm import whole_step
from asymreinforce.algorithm.references import length_weighted_mean, minimum_variance
from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.errors import ConfigError, InputError
from tests.fixtures import step_gradients as computed
from tests.fixtures import table_policy as naive
from tests.fixtures import whole_step_cases as whole

BEHAVIOUR = naive.logits(0)
BATCH = naive.batch(100)
APART = BEHAVIOUR + naive.logits(200, scale=0.8)


def gradient(name: str, at: Tensor = APART, **how: Any) -> Tensor:
    table = at.clone().requires_grad_()
    return computed.gradient(table, computed.loss(table, BEHAVIOUR, BATCH, name=name, **how))


def tensor(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# M2PO


def test_the_farthest_tokens_go_until_the_rest_is_within_the_limit() -> None:
    """Of a positive sample; its squares are 0.01, 0.04, 0.16 and 1, and one token is below mu."""
    log_ratio_C = tensor([0.4, 0.1, -3.0, 1.0, 0.2])
    for limit, kept in (
        (1.0, [1, 1, 1, 1, 1]),
        (0.302, [1, 1, 1, 0, 1]),
        (0.0701, [1, 1, 1, 0, 1]),
        (0.069, [0, 1, 1, 0, 1]),
        (0.02, [0, 1, 1, 0, 0]),
        (0.001, [0, 0, 1, 0, 0]),
    ):
        kept_C = whole_step.second_moment_mask(log_ratio_C, torch.ones(5), limit=limit)
        assert kept_C.tolist() == [bool(k) for k in kept], limit


def test_only_tokens_that_a_clip_would_stop_are_masked() -> None:
    log_ratio_C = tensor([3.0, -3.0, 3.0, -3.0, 3.0])
    kept_C = whole_step.second_moment_mask(log_ratio_C, tensor([1, 1, -1, -1, 0]), limit=0.04)
    assert kept_C.tolist() == [False, True, True, False, True]


def test_m2po_without_a_limit_is_ppo_without_a_clip() -> None:
    unmasked = gradient("m2po", second_moment_limit=1e9)
    unclipped = gradient("grpo", clip_low=1.0, clip_high=1e9)
    assert float(unclipped.abs().max()) > 1e-3
    assert float((unmasked - unclipped).abs().max()) <= 1e-14
    masked = gradient("m2po", second_moment_limit=0.04)
    assert float((unmasked - masked).abs().max()) > 1e-3


def test_a_masked_token_far_from_mu_makes_no_infinity() -> None:
    logps_C = tensor([-1.0, 2000.0, 2000.0]).requires_grad_()
    places_C, groups_B = torch.tensor([0, 0, 1]), torch.tensor([0, 0])
    tokens = TokenLogps(logps_C, tensor([-1, -1, -1]), tensor([1, 0]), places_C, groups_B)
    losses_B = whole_step.m2po(tokens, second_moment_limit=0.04)
    assert losses_B.tolist() == [-1.0, 0.0]
    assert computed.gradient(logps_C, losses_B.sum()).tolist() == [-1.0, 0.0, 0.0]


# DPO


def dpo(margins: list[float], right: list[bool], groups: list[int], tau: float = 0.5) -> Tensor:
    """The losses of single tokens that mu gave e^-1 and pi e^(margin - 1)."""
    groups_B, right_B = torch.tensor(groups), torch.tensor(right).double()
    behaviour_C = torch.full((len(right),), -1.0, dtype=torch.float64)
    advantages_B = torch.cat(
        [right_B[groups_B == g] - right_B[groups_B == g].mean() for g in dict.fromkeys(groups)]
    )
    logps_C, places_C = behaviour_C + tensor(margins), torch.arange(len(right))
    return whole_step.dpo(
        TokenLogps(logps_C, behaviour_C, advantages_B, places_C, groups_B), tau=tau
    )


def test_a_pair_has_the_loss_of_its_margin() -> None:
    """h is log 4 of the right one and 0 of the wrong one: sigma(log(4) / 2) = 2/3."""
    losses_B = dpo([math.log(4), 0.0], [True, False], [0, 0])
    assert losses_B.tolist() == pytest.approx([math.log(1.5)] * 2)


def test_each_prompt_counts_by_its_samples_and_not_by_its_pairs() -> None:
    """At pi = mu every pair has log 2; 3 pairs of four samples, 1 of two, none of two."""
    right = [True, False, False, False, True, False, True, True]
    losses_B = dpo([0.0] * 8, right, [0, 0, 0, 0, 1, 1, 2, 2])
    assert losses_B.tolist() == pytest.approx(
        [math.log(2) * share for share in (2, 2 / 3, 2 / 3, 2 / 3, 1, 1, 0, 0)]
    )


def test_at_mu_dpo_is_reinforce_with_balanced_groups() -> None:
    """c is tau G/(2k) of right samples and -tau G/(2 (G - k)) of wrong ones."""
    at_mu = gradient("dpo", at=BEHAVIOUR, tau=0.3)
    table = BEHAVIOUR.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for prompt in set(BATCH.prompts):
        group = [i for i, other in enumerate(BATCH.prompts) if other == prompt]
        right = [i for i in group if BATCH.rewards[i] > 0]
        pi = naive.probabilities(table, BATCH)
        for i in group if 0 < len(right) < len(group) else []:
            count = len(right) if i in right else len(right) - len(group)
            total = total - 0.3 * len(group) / (2 * count) * naive.log_of(pi[i])
    expected = computed.gradient(table, total / len(BATCH.prompts))
    assert float(expected.abs().max()) > 1e-3
    assert float((at_mu - expected).abs().max()) <= 1e-12


def test_a_step_without_a_pair_has_no_loss() -> None:
    assert dpo([1.0, -1.0], [True, True], [0, 0]).tolist() == [0.0, 0.0]


def test_a_margin_beyond_floats_has_the_loss_of_a_line() -> None:
    losses_B = dpo([0.0, 4000.0], [True, False], [0, 0])
    assert losses_B.tolist() == [2000.0, 2000.0]


def test_a_tau_that_is_not_positive_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"algorithm.tau=0.0 of dpo must be above 0"):
        dpo([0.0, 0.0], [True, False], [0, 0], tau=0.0)


# NFT


def test_at_mu_nft_is_dr_grpo_on_what_is_correct_whatever_the_rewards() -> None:
    correct = BATCH._replace(rewards=[float(reward > 0) for reward in BATCH.rewards])
    table = BEHAVIOUR.clone().requires_grad_()
    expected = computed.gradient(table, computed.loss(table, BEHAVIOUR, correct, name="dr_grpo"))
    assert float(expected.abs().max()) > 1e-3
    assert float((gradient("nft", at=BEHAVIOUR) - expected).abs().max()) <= 1e-14


# the minimum-variance baseline


def test_the_baseline_of_least_variance_by_hand() -> None:
    """w^2 is 4, 1 and 1/4; lengths 1, 4 and 8: weights 4, 4 and 2."""
    log_weights_B = tensor([2.0, 1.0, 0.5]).log()
    values_B = minimum_variance(
        tensor([1, 0, -1]), torch.tensor([3, 3, 3]), torch.tensor([1, 4, 8]), log_weights_B
    )
    assert values_B.tolist() == pytest.approx([0.2] * 3)


def test_at_mu_it_is_the_length_weighted_mean() -> None:
    rewards_B, groups_B, lengths_B = BATCH.rewards_B, BATCH.groups_B, BATCH.lengths_B
    values_B = minimum_variance(rewards_B, groups_B, lengths_B, torch.zeros(12))
    torch.testing.assert_close(
        values_B, length_weighted_mean(rewards_B, groups_B, lengths_B), rtol=0, atol=1e-15
    )


def test_weights_beyond_floats_leave_the_largest_ones_reward() -> None:
    values_B = minimum_variance(
        tensor([1, -1, 1]),
        torch.tensor([0, 0, 1]),
        torch.ones(3),
        tensor([3000.0, 1000.0, -9000.0]),
    )
    assert values_B.tolist() == [1.0, 1.0, 1.0]


def test_a_prompt_without_a_token_is_an_error() -> None:
    with pytest.raises(InputError, match="minimum_variance met a prompt without"):
        minimum_variance(tensor([1]), torch.tensor([0]), torch.tensor([0]), tensor([0]))


@pytest.mark.parametrize("aggregation", ["sequence_sum", "token_mean", "sequence_mean"])
def test_the_gradient_under_it_is_that_of_the_naive_loop(aggregation: Any) -> None:
    table = APART.clone().requires_grad_()
    expected = computed.gradient(
        table,
        whole.loss(
            table,
            BEHAVIOUR,
            BATCH,
            total=whole.tis_by_minimum_variance(1.5, -0.1),
            advantage=naive.reward_itself,
            aggregation=aggregation,
        ),
    )
    assert float(expected.abs().max()) > 1e-3
    for parts in (1, 5, 12):
        made = gradient(
            "tis",
            baseline=-0.1,
            reference="minimum_variance",
            aggregation=aggregation,
            micro_batches=parts,
            weight_limit=1.5,
        )
        assert float((made - expected).abs().max()) <= 1e-10


def test_a_linear_objective_under_it_takes_the_policy_s_own_v() -> None:
    apart = gradient("asymre", reference="minimum_variance", baseline=-0.1)
    plain = gradient("asymre", reference="length_weighted_mean", baseline=-0.1)
    assert float((apart - plain).abs().max()) > 1e-2
    at_mu = [
        gradient("asymre", at=BEHAVIOUR, reference=name, baseline=-0.1)
        for name in ("minimum_variance", "length_weighted_mean")
    ]
    assert float((at_mu[0] - at_mu[1]).abs().max()) <= 1e-14
