"""Groups that are dropped, by hand."""

import pytest
import torch

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
    dropped_B = dropped_sequences(REWARDS_B, CORRECT_B, GROUPS_B, dropped=dropped)
    assert set(GROUPS_B[dropped_B].tolist()) == groups
    assert dropped_B.tolist() == [int(group) in groups for group in GROUPS_B]


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
