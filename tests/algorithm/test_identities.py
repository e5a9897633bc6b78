"""What follows from the formulas, on gradients, to 1e-12."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from asymreinforce.algorithm.table import objective_of
from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.config import AlgorithmConfig
from tests.fixtures import step_gradients as computed
from tests.fixtures import table_policy as naive

TOLERANCE = 1e-12
MU = naive.logits(11)
BATCH = naive.batch(12)
PI = (MU + naive.logits(13, scale=0.5)).requires_grad_()
AT_MU = MU.clone().requires_grad_()


def gradient(name: str = "asymre", *, at: Tensor = PI, of: naive.Batch = BATCH, **how: Any) -> Any:
    return computed.gradient(at, computed.loss(at, MU, of, name=name, **how))


def forward_kl() -> Tensor:
    """d/d logits of the samples' KL(mu || pi) = (1/N) sum_i (log mu - log pi)."""
    gap_C = naive.token_logps(MU, BATCH) - naive.token_logps(PI, BATCH)
    return computed.gradient(PI, gap_C.sum() / len(BATCH.prompts))


def assert_equal(found: Tensor, expected: Tensor) -> None:
    assert float(expected.abs().max()) > 1e-3
    assert float((found - expected).abs().max()) <= TOLERANCE


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_a_shift_of_minus_beta_is_group_mean_reinforce_and_beta_times_the_forward_kl(
    beta: float,
) -> None:
    assert_equal(gradient(baseline=-beta), gradient(baseline=0.0) + beta * forward_kl())


@pytest.mark.parametrize("baseline", [-0.2, 0.0, 0.3])
def test_a_forward_kl_penalty_is_asymre_at_a_baseline_lower_by_its_coefficient(
    baseline: float,
) -> None:
    penalised = gradient(baseline=baseline) + 0.25 * forward_kl()
    assert_equal(penalised, gradient(baseline=baseline - 0.25))


def test_leave_one_out_at_0_is_g_over_g_minus_1_times_group_mean() -> None:
    assert_equal(gradient("rloo", reference="leave_one_out"), gradient() * 4 / 3)


def test_zero_reference_with_rewards_0_and_1_is_sft_on_successes_times_their_share() -> None:
    sequences = naive.batch(5, rewards=(0, 1))
    right = [i for i, reward in enumerate(sequences.rewards) if reward == 1]
    successes = sequences.take(right)
    of_sft = computed.gradient(PI, -naive.token_logps(PI, successes).sum() / len(right))
    share = len(right) / len(sequences.rewards)
    assert 0 < share < 1
    assert_equal(gradient("reinforce", of=sequences, reference="zero"), share * of_sft)
    assert_equal(gradient("positives_only", of=sequences), share * of_sft)


def test_the_gradient_is_affine_in_v() -> None:
    low, high = (gradient("reinforce", reference="zero", baseline=v) for v in (-1.0, 0.6))
    between = gradient("reinforce", reference="zero", baseline=-0.6)
    assert_equal(between, low + (high - low) * 0.25)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ppo", {}),
        ("ppo", {"clip_low": 0.5, "clip_high": 0.01}),
        ("tis", {}),
        ("tis_token", {}),
        ("topr", {}),
        ("topr_token", {}),
        ("opmd_kimi", {"tau": 0.8}),
        ("asymre_reverse_kl", {"kl_coefficient": 0.9}),
    ],
)
@pytest.mark.parametrize("baseline", [-0.1, 0.0])
@pytest.mark.parametrize("aggregation", ["sequence_sum", "token_mean", "sequence_mean"])
def test_at_mu_the_gradient_is_that_of_reinforce(
    name: str, options: dict[str, Any], baseline: float, aggregation: Any
) -> None:
    how: dict[str, Any] = {"at": AT_MU, "baseline": baseline, "aggregation": aggregation}
    assert_equal(gradient(name, **how, **options), gradient("asymre", **how))


@pytest.mark.parametrize("name", ["grpo", "cispo"])
def test_at_mu_grpo_and_cispo_are_reinforce_with_standardised_advantages(name: str) -> None:
    objective = objective_of(AlgorithmConfig(name=name), baseline_reference="group_mean")
    scores_B = objective.advantages(
        BATCH.rewards_B,
        BATCH.groups_B,
        correct_B=BATCH.rewards_B > 0,
        baseline=0.0,
        reference_name="group_mean",
    )
    scored = BATCH._replace(rewards=scores_B.tolist())
    of_scores = gradient("reinforce", at=AT_MU, of=scored, reference="zero")
    assert_equal(gradient(name, at=AT_MU), of_scores)


def asymmetric(positive: float, negative: float, beta: float, **how: Any) -> Tensor:
    options: dict[str, Any] = {
        "positive_weight": positive,
        "negative_weight": negative,
        "imitation": beta,
    }
    return gradient("asymmetric", **options, **how)


@pytest.mark.parametrize("baseline", [-0.3, 0.0, 0.2])
def test_equal_weights_and_imitation_are_asymre_at_minus_that_baseline(baseline: float) -> None:
    assert_equal(asymmetric(1, 1, -baseline), gradient(baseline=baseline))


@pytest.mark.parametrize("constant", [-0.7, 0.4])
def test_equal_weights_on_plain_rewards_are_reinforce_with_a_constant_v(constant: float) -> None:
    expected = gradient("reinforce", reference="zero", baseline=constant)
    assert_equal(asymmetric(1, 1, -constant, reference="zero"), expected)


def test_one_weight_alone_trains_on_one_kind_of_samples() -> None:
    signs = naive.batch(5, rewards=(-1, 1))
    positives = gradient("positives_only", of=signs)
    assert_equal(asymmetric(1, 0, 0, of=signs, reference="zero"), positives)
    incorrect = signs._replace(rewards=[min(reward, 0) for reward in signs.rewards])
    negatives = gradient("reinforce", of=incorrect, reference="zero")
    assert_equal(asymmetric(0, 1, 0, of=signs, reference="zero"), negatives)
    weighted = 0.1 * positives + negatives  # W-REINFORCE
    assert_equal(asymmetric(0.1, 1, 0, of=signs, reference="zero"), weighted)


def test_imitation_alone_descends_the_samples_forward_kl() -> None:
    assert_equal(asymmetric(0, 0, 1), forward_kl())


def test_an_affine_map_of_rewards_with_v_mapped_alike_is_the_same_arm_up_to_its_scale() -> None:
    """r' = a r + b and V' = a V + b: A' = a A; of a group's mean b drops out."""
    mapped = BATCH._replace(rewards=[2.5 * reward + 0.7 for reward in BATCH.rewards])
    assert_equal(gradient(of=mapped, baseline=2.5 * -0.1), 2.5 * gradient(baseline=-0.1))
    of_constant = gradient("reinforce", of=mapped, reference="zero", baseline=2.5 * 0.3 + 0.7)
    expected = 2.5 * gradient("reinforce", reference="zero", baseline=0.3)
    assert_equal(of_constant, expected)


def test_opmd_in_its_mean_form_is_group_mean_reinforce_over_1_plus_tau() -> None:
    assert_equal(gradient("opmd_mean", tau=3.0), gradient() / 4)


def test_kimis_opmd_is_asymre_at_each_samples_own_log_ratio() -> None:
    """grad = (A - tau log pi/mu) grad log pi: the penalty is a baseline that grows with pi/mu."""
    gap_C = (naive.token_logps(PI, BATCH) - naive.token_logps(MU, BATCH)).detach()
    log_ratio_B = torch.zeros(len(BATCH.prompts), dtype=torch.float64)
    log_ratio_B.index_add_(0, BATCH.sequence_of_C, gap_C)
    shifted_B = BATCH.rewards_B - BATCH.rewards_B.view(3, 4).mean(1).repeat_interleave(4)
    shifted = BATCH._replace(rewards=(shifted_B - 0.4 * log_ratio_B).tolist())
    expected = gradient("reinforce", of=shifted, reference="zero")
    assert_equal(gradient("opmd_kimi", tau=0.4), expected)


def test_topr_is_sft_like_on_positives_and_importance_sampling_at_limit_1_on_negatives() -> None:
    how: dict[str, Any] = {"reference": "zero", "baseline": 0.2}
    signs_B = BATCH.rewards_B - 0.2
    positives = BATCH._replace(rewards=signs_B.clamp_min(0).tolist())
    negatives = BATCH._replace(rewards=signs_B.clamp_max(0).tolist())
    expected = gradient("reinforce", of=positives, reference="zero") + gradient(
        "tis", of=negatives, reference="zero", weight_limit=1.0
    )
    assert_equal(gradient("topr", **how), expected)


def test_topr_by_token_is_another_method_than_by_sequence() -> None:
    by_token = gradient("topr_token", reference="zero")
    assert float((by_token - gradient("topr", reference="zero")).abs().max()) > 1e-3


def test_of_completions_of_one_token_sequence_and_token_ratios_agree() -> None:
    short = BATCH._replace(completions=[completion[:1] for completion in BATCH.completions])
    for name, other in (("topr", "topr_token"), ("tis", "tis_token")):
        how: dict[str, Any] = {"of": short, "reference": "zero"}
        options: dict[str, Any] = {"weight_limit": 1.2} if name == "tis" else {}
        assert_equal(gradient(name, **how, **options), gradient(other, **how, **options))


def test_ppo_with_wide_clips_weighs_each_token_by_its_ratio() -> None:
    assert_equal(
        gradient("ppo", clip_low=1.0, clip_high=1e9), gradient("tis_token", weight_limit=1e9)
    )


def every_completion(prompt: int, length: int) -> naive.Batch:
    drawn = [list(c) for c in itertools.product(range(naive.VOCABULARY), repeat=length)]
    return naive.Batch([prompt] * len(drawn), drawn, [float(sum(c) % 3) for c in drawn])


def exact(name: str, sequences: naive.Batch, advantages_B: Tensor, **options: float) -> Tensor:
    """E_{y ~ mu} of a ratio objective's loss, over all completions of some length."""
    objective: Any = objective_of(
        AlgorithmConfig(name=name, **options), baseline_reference="group_mean"
    )
    behaviour_C = naive.token_logps(MU, sequences)
    mu_B = torch.zeros(len(sequences.prompts), dtype=torch.float64)
    mu_B = mu_B.index_add(0, sequences.sequence_of_C, behaviour_C).exp()
    logps_C, places_C = naive.token_logps(PI, sequences), sequences.sequence_of_C
    tokens = TokenLogps(logps_C, behaviour_C, advantages_B, places_C)
    value: Tensor = objective.loss(tokens, mu_B)
    return value


def policy_of(sequences: naive.Batch, table: Tensor) -> Tensor:
    sums_B = torch.zeros(len(sequences.prompts), dtype=torch.float64)
    return sums_B.index_add(0, sequences.sequence_of_C, naive.token_logps(table, sequences)).exp()


def test_importance_sampling_without_a_limit_is_the_exact_policy_gradient() -> None:
    sequences = every_completion(prompt=1, length=3)
    found = computed.gradient(PI, exact("tis", sequences, sequences.rewards_B, weight_limit=1e30))
    expected_reward = (policy_of(sequences, PI) * sequences.rewards_B).sum()
    assert_equal(found, -computed.gradient(PI, expected_reward))


def test_the_reverse_kl_penalty_has_the_exact_gradient_of_kl_pi_mu() -> None:
    sequences = every_completion(prompt=2, length=3)
    nothing_B = torch.zeros(len(sequences.prompts), dtype=torch.float64)
    found = computed.gradient(
        PI, exact("asymre_reverse_kl", sequences, nothing_B, kl_coefficient=0.7)
    )
    pi_B, mu_B = policy_of(sequences, PI), policy_of(sequences, MU)
    assert_equal(found, 0.7 * computed.gradient(PI, (pi_B * (pi_B / mu_B).log()).sum()))
