"""An arm's objective: from the verdicts of a step to the coefficients of its sequences."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Origins, Rows
from asymreinforce.stages.train.objective import ArmObjective
from tests import made

LENGTHS = (3, 1, 2, 2, 4, 1, 1)
"""Of a mixed group of 3, one all wrong of 2, and one all right of 2."""
ROWS = Rows(
    prompt_id_B=np.array(["a", "a", "a", "b", "b", "c", "c"]),
    sample_B=np.array([0, 1, 2, 0, 1, 0, 1]),
    group_B=np.array([0, 0, 0, 1, 1, 2, 2]),
    prompts=[np.array([5])] * 7,
    completions=[np.arange(length) for length in LENGTHS],
    score_B=np.array([1.0, 0.0, 0.5, 0.0, 0.0, 1.0, 1.0]),
    status_B=np.array(["ok"] * 7),
    truncated_B=np.zeros(7, bool),
)


def coefficients(place: Path, **settings: Any) -> list[float]:
    config = made.config(place, policy="mu", baseline=-0.25, **settings)
    scored = ScoredRollouts(*made.scored_set(place, prompts=2, samples=4), samples=4)
    objective = ArmObjective(config, scored)
    rewarded = objective.rewards(ROWS)
    inputs_B = objective.loss_inputs(objective.advantages(rewarded), rewarded)
    assert isinstance(inputs_B, Tensor)
    return [round(float(c), 6) for c in inputs_B]


def test_groups_of_equal_rewards_are_imitated_below_0_unless_they_are_dropped(
    tmp_path: Path,
) -> None:
    mixed = [1.583333, -0.416667, -0.416667]
    assert coefficients(tmp_path) == [*mixed, 0.25, 0.25, 0.25, 0.25]
    dropping = {
        "none": (0.25, 0.25),
        "equal": (0, 0),
        "all_wrong": (0, 0.25),
        "all_right": (0.25, 0),
    }
    for dropped, (wrong, right) in dropping.items():
        made_of = coefficients(tmp_path, algorithm__drop_groups=dropped)
        assert made_of == [*mixed, wrong, wrong, right, right]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"reward__value": "score", "reward__incorrect": 0.0}, [0.75, -0.25, 0.25]),
        ({"baseline_reference": "length_weighted_mean"}, [1.25, -0.75, -0.75]),
        ({"baseline_reference": "group_quantile"}, [2.25, 0.25, 0.25]),
        ({"baseline_reference": "group_quantile", "baseline_quantile": 0.9}, [0.25, -1.75, -1.75]),
        (
            {"algorithm__name": "asymmetric", "algorithm__negative_weight": 0.5},
            [1.583333, -0.208333, -0.208333],
        ),
    ],
)
def test_rewards_references_and_weights_by_hand(
    settings: dict[str, Any], expected: list[float], tmp_path: Path
) -> None:
    """The first group: scores 1, 0 and 1/2 of 3, 1 and 2 tokens, at a baseline of -0.25."""
    assert coefficients(tmp_path, **settings)[:3] == expected


def test_a_muted_completion_counts_in_its_groups_mean_and_in_n_and_is_not_trained_on(
    tmp_path: Path,
) -> None:
    config = made.config(tmp_path, policy="mu", baseline=-0.25)
    scored = ScoredRollouts(*made.scored_set(tmp_path, prompts=2, samples=4), samples=4)
    objective = ArmObjective(config, scored)
    is_muted_B = np.array([False, True, True, False, False, False, False])
    origins = Origins(np.zeros(7, int), np.zeros(7, int), is_muted_B)
    rewarded = objective.rewards(ROWS._replace(origins=origins))
    inputs_B = objective.loss_inputs(objective.advantages(rewarded), rewarded)
    assert isinstance(inputs_B, Tensor)
    assert [round(float(c), 6) for c in inputs_B] == [1.583333, 0, 0, 0.25, 0.25, 0.25, 0.25]
