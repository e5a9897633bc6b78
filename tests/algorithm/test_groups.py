"""Groups that are dropped, by hand."""

import pytest
import torch
from pydantic import ValidationError

from asymreinforce.algorithm.groups import dropped_sequences, has_equal_rewards
from asymreinforce.algorithm.table import objective_identity
from asymreinforce.config import AlgorithmConfig
from asymreinforce.config.training import DroppedGroups

# group 4 is mixed, 2 all right with unlike rewards, 7 all wrong
GROUPS_B = torch.tensor([4, 2, 7, 4, 2, 7])
REWARDS_B = torch.tensor([1.0, 1.0, -1.0, -1.0, 0.75, -1.0], dtype=torch.float64)
CORRECT_B = torch.tensor([True, True, False, False, True, False])


@pytest.mark.parametrize(
    ("dropped", "groups"),
    [("none", set()), ("all_right", {2}), ("all_wrong", {7}), ("equal", {7})],
)
def test_the_groups_that_are_dropped(dropped: DroppedGroups, groups: set[int]) -> None:
    dropped_B = dropped_sequences(
        REWARDS_B, CORRECT_B, GROUPS_B, algorithm=AlgorithmConfig(drop_groups=dropped)
    )
    assert set(GROUPS_B[dropped_B].tolist()) == groups
    assert dropped_B.tolist() == [int(group) in groups for group in GROUPS_B]


@pytest.mark.parametrize(
    ("shares", "dropped", "groups"),
    [
        ((0.0, 1.0), "none", set()),
        ((0.5, 0.5), "none", {2, 7}),
        ((0.25, 1.0), "none", {7}),
        ((0.0, 0.75), "none", {2}),
        ((0.0, 0.75), "all_wrong", {2, 7}),
        ((0.51, 0.75), "none", {2, 4, 7}),
    ],
)
def test_a_band_keeps_the_groups_whose_share_of_correct_samples_lies_in_it(
    shares: tuple[float, float], dropped: DroppedGroups, groups: set[int]
) -> None:
    algorithm = AlgorithmConfig(drop_groups=dropped, kept_shares=shares)
    dropped_B = dropped_sequences(REWARDS_B, CORRECT_B, GROUPS_B, algorithm=algorithm)
    assert set(GROUPS_B[dropped_B].tolist()) == groups


def test_the_ends_of_a_band_are_in_it_for_every_size_of_a_group() -> None:
    for size in range(1, 40):
        for right in range(size + 1):
            correct_B = torch.arange(size) < right
            groups_B, share = torch.zeros(size, dtype=torch.long), right / size
            algorithm = AlgorithmConfig(kept_shares=(share, share))
            dropped_B = dropped_sequences(
                correct_B.double(), correct_B, groups_B, algorithm=algorithm
            )
            assert not bool(dropped_B.any()), (size, right)


@pytest.mark.parametrize(("shares", "why"), [((0.8, 0.2), "low at most high"), ((0.2, 1.2), "1")])
def test_a_band_that_no_group_can_lie_in_is_an_error(shares: tuple[float, float], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        AlgorithmConfig(kept_shares=shares)


def test_rewards_that_differ_by_a_rounding_are_not_equal() -> None:
    rewards_B = torch.tensor([0.1 + 0.2, 0.3, 1.0, 1.0], dtype=torch.float64)
    groups_B = torch.tensor([0, 0, 1, 1])
    assert has_equal_rewards(rewards_B, groups_B).tolist() == [False, False, True, True]


def test_dropping_names_another_arm_and_keeping_names_none() -> None:
    kept = objective_identity(AlgorithmConfig(), baseline_reference="group_mean")
    assert kept == {"name": "asymre", "aggregation": "sequence_sum"}
    dropping = AlgorithmConfig(drop_groups="equal")
    assert objective_identity(dropping, baseline_reference="group_mean") == {
        **kept, "drop_groups": "equal",
    }  # fmt: skip
    band = AlgorithmConfig(kept_shares=(0.25, 0.75))
    assert objective_identity(band, baseline_reference="group_mean") == {
        **kept, "kept_shares": [0.25, 0.75],
    }  # fmt: skip
