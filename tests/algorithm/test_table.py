"""Objectives by name: their options, their references, how tokens are weighed."""

import pytest
import torch

from asymreinforce.algorithm.aggregation import sequence_weights
from asymreinforce.algorithm.groups import standardised_advantages
from asymreinforce.algorithm.kinds import Linear, Ratio, WholeStep
from asymreinforce.algorithm.table import OBJECTIVES, objective_identity, objective_of
from asymreinforce.config import AlgorithmConfig
from asymreinforce.errors import ConfigError

LENGTHS = torch.tensor([1, 2, 5])


def test_an_unknown_objective_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="asymre, reinforce, rloo, positives_only"):
        objective_of(AlgorithmConfig(name="adam"), baseline_reference="group_mean")


def test_an_option_that_does_not_enter_is_an_error_that_names_those_that_do() -> None:
    config = AlgorithmConfig(name="grpo", tau=1.0)
    with pytest.raises(ConfigError, match=r"algorithm\.tau .* takes clip_low, clip_high"):
        objective_of(config, baseline_reference="group_mean")


def test_asymre_takes_no_option() -> None:
    with pytest.raises(ConfigError, match="takes no option; leave it out"):
        objective_of(AlgorithmConfig(clip_low=0.2), baseline_reference="group_mean")


@pytest.mark.parametrize(
    ("name", "reference"),
    [("rloo", "leave_one_out"), ("reinforce", "zero"), ("grpo", "group_mean")],
)
def test_a_reference_that_contradicts_the_name_is_an_error(name: str, reference: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} means baseline_reference={reference}"):
        objective_of(AlgorithmConfig(name=name), baseline_reference="dataset_mean")


def test_options_that_are_not_given_have_the_objectives_defaults() -> None:
    found = objective_of(AlgorithmConfig(name="ppo", clip_high=0.5), baseline_reference="zero")
    assert found.options == {"clip_low": 0.2, "clip_high": 0.5}


def test_what_needs_behaviour_log_probabilities_says_so() -> None:
    without = [name for name, found in OBJECTIVES.items() if not found.needs_behaviour_logps]
    assert without == [
        "asymre", "reinforce", "rloo", "positives_only", "asymmetric", "opmd_mean", "awr",
    ]  # fmt: skip


def test_each_objective_has_one_kind_and_keeps_it_when_its_options_are_bound() -> None:
    for name, found in OBJECTIVES.items():
        reference = found.reference or "group_mean"
        bound = objective_of(AlgorithmConfig(name=name), baseline_reference=reference)
        assert type(bound) is type(found)
    assert isinstance(OBJECTIVES["topr"], Ratio)
    assert isinstance(OBJECTIVES["rloo"], Linear)
    assert isinstance(OBJECTIVES["m2po"], WholeStep)


def test_a_reference_of_log_pi_asks_for_log_mu_and_the_whole_step() -> None:
    plain, follows = (
        objective_of(AlgorithmConfig(), baseline_reference=reference)
        for reference in ("group_mean", "minimum_variance")
    )
    assert (plain.needs_behaviour_logps, plain.follows_policy) == (False, False)
    assert (follows.needs_behaviour_logps, follows.follows_policy) == (True, True)
    without = objective_of(
        AlgorithmConfig(name="positives_only"), baseline_reference="minimum_variance"
    )
    assert not without.follows_policy


def test_the_weights_of_a_sequence_by_each_aggregation() -> None:
    assert sequence_weights(LENGTHS, "sequence_sum").tolist() == [1, 1, 1]
    assert sequence_weights(LENGTHS, "token_mean").tolist() == [3 / 8] * 3
    assert sequence_weights(LENGTHS, "sequence_mean").tolist() == [1, 0.5, 0.2]


def test_standardised_rewards_have_mean_0_and_the_samples_deviation_1() -> None:
    rewards_B = torch.tensor([1.0, -1.0, 3.0, 0.0, 0.0, 6.0], dtype=torch.float64)
    found_B = standardised_advantages(rewards_B, torch.tensor([4, 4, 4, 2, 2, 2]))
    assert found_B.tolist() == pytest.approx([0, -1, 1, -1 / 3**0.5, -1 / 3**0.5, 2 / 3**0.5])


def test_a_group_of_equal_rewards_has_0_whatever_their_mean_rounds_to() -> None:
    rewards_B = torch.tensor([0.1, 0.1, 0.1, 0.7], dtype=torch.float32)
    assert standardised_advantages(rewards_B, torch.tensor([0, 0, 0, 1])).tolist() == [0, 0, 0, 0]


def test_a_baseline_of_grpo_shifts_the_standardised_advantage() -> None:
    found_B = OBJECTIVES["grpo"].advantages(
        torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64),
        torch.tensor([0, 0, 1, 1]),
        correct_B=torch.tensor([True, False, True, True]),
        baseline=-0.1,
        reference_name="group_mean",
    )
    half = 0.5**0.5
    assert found_B.tolist() == pytest.approx([half + 0.1, -half + 0.1, 0.1, 0.1])


def test_a_default_that_is_written_out_is_the_same_objective() -> None:
    how = {"baseline_reference": "group_mean"}
    named = objective_identity(AlgorithmConfig(name="ppo"), **how)
    assert named == objective_identity(
        AlgorithmConfig(name="ppo", clip_low=0.2, clip_high=0.2), **how
    )
    assert named != objective_identity(AlgorithmConfig(name="ppo", clip_low=0.1), **how)
