"""An arm's objective: from the verdicts of a step to the coefficients of its sequences."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Origins, Rows
from asymreinforce.stages.train.objective import ArmObjective, number_completions
from asymreinforce.update.loss_inputs import StepInputs
from tests.fixtures.experiments import small_config
from tests.fixtures.scored_sets import write_scored_set

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
    config = small_config(place, policy="mu", baseline=-0.25, **settings)
    scored = ScoredRollouts(*write_scored_set(place, prompts=2, samples=4), samples=4)
    objective = ArmObjective(config, scored)
    rewarded = objective.rewards(ROWS)
    advantages_B = objective.advantages(rewarded, baseline=-0.25)
    inputs_B = objective.loss_inputs(advantages_B, rewarded, baseline=-0.25)
    assert isinstance(inputs_B, Tensor)
    return [round(float(c), 6) for c in inputs_B]


def whole_step_loss(place: Path, logps: list[float], **settings: Any) -> tuple[float, list[float]]:
    """The loss of the first group at these log pi of its sequences, and its derivatives by them.

    mu gave each token e^-1; log pi - log mu of a sequence is divided over its tokens.
    """
    config = small_config(place, policy="mu", baseline=-0.25, **settings)
    scored = ScoredRollouts(*write_scored_set(place, prompts=2, samples=4), samples=4)
    objective = ArmObjective(config, scored)
    assert objective.needs_behaviour_logps
    behaviour = [np.full(length, -1.0) for length in LENGTHS[:3]]
    rows = ROWS.take(np.arange(3))._replace(behaviour_logps=behaviour)
    rewarded = objective.rewards(rows)
    advantages_B = objective.advantages(rewarded, baseline=-0.25)
    inputs = objective.loss_inputs(advantages_B, rewarded, baseline=-0.25)
    assert isinstance(inputs, StepInputs)
    lengths = torch.tensor(LENGTHS[:3])
    log_ratio_B = torch.tensor(logps, dtype=torch.float64).requires_grad_()
    behaviour_C = torch.from_numpy(np.concatenate(behaviour))
    logps_C = behaviour_C + (log_ratio_B / lengths).repeat_interleave(lengths)
    loss = inputs.loss(logps_C, behaviour_C, torch.arange(3).repeat_interleave(lengths))
    (by_B,) = torch.autograd.grad(loss, log_ratio_B)
    return float(loss.detach()), [round(float(d), 6) for d in by_B]


def test_a_baseline_that_follows_the_policy_is_made_at_the_policy(tmp_path: Path) -> None:
    """Rewards 1, -1, -1; w^2 l is 4 * 3, 1 and 2 where pi has twice mu's share of the success.

    V is (12 - 3)/15 = 0.6 and c = r - V + 0.25.
    """
    how = {"baseline_reference": "minimum_variance"}
    _, by_B = whole_step_loss(tmp_path, [math.log(2), 0.0, 0.0], **how)
    assert by_B == [-0.65, 1.35, 1.35]
    _, at_mu_B = whole_step_loss(tmp_path, [0.0, 0.0, 0.0], **how)
    assert at_mu_B == [-1.25, 0.75, 0.75]  # V is 0, the mean by length


def test_pairs_of_a_group_and_their_weights(tmp_path: Path) -> None:
    """Two pairs of three samples: each margin's loss has weight 3/2."""
    loss, by_B = whole_step_loss(
        tmp_path, [math.log(4), 0.0, 0.0], algorithm__name="dpo", algorithm__tau=0.5
    )
    assert loss == pytest.approx(3 * math.log(1.5))
    assert by_B == [-0.5, 0.25, 0.25]  # -tau sigma(-margin) 3 = -0.5/3 * 3
    dropped, none_B = whole_step_loss(
        tmp_path, [0.5, 0.0, 0.0], algorithm__name="dpo", algorithm__kept_shares=(0.5, 1.0)
    )
    assert (dropped, none_B) == (0.0, [0.0, 0.0, 0.0])


def test_equal_completions_of_a_prompt_have_one_number() -> None:
    rows = ROWS._replace(
        completions=[np.array(tokens) for tokens in ([1, 2], [1], [1, 2], [1], [1], [3], [1])]
    )
    assert number_completions(rows).tolist() == [0, 1, 0, 2, 2, 3, 4]


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


def test_a_band_of_difficulty_keeps_the_groups_inside(tmp_path: Path) -> None:
    """The shares of correct samples are 1/3, 0 and 1."""
    for shares, kept in (((0.2, 0.8), "a"), ((0.0, 0.5), "ab"), ((1.0, 1.0), "c")):
        made_of = coefficients(tmp_path, algorithm__kept_shares=shares)
        assert {ROWS.prompt_id_B[i] for i, c in enumerate(made_of) if c} == set(kept)
    both = coefficients(
        tmp_path, algorithm__kept_shares=(0.0, 0.5), algorithm__drop_groups="all_wrong"
    )
    assert [bool(c) for c in both] == [True] * 3 + [False] * 4


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"reward__value": "score", "reward__incorrect": 0.0}, [0.75, -0.25, 0.25]),
        ({"baseline_reference": "length_weighted_mean"}, [1.25, -0.75, -0.75]),
        ({"baseline_reference": "group_quantile"}, [2.25, 0.25, 0.25]),
        ({"baseline_reference": "group_quantile", "baseline_quantile": 0.9}, [0.25, -1.75, -1.75]),
        # the success is a third of the samples: above that support V is the low reward
        ({"baseline_reference": "limit_support"}, [2.25, 0.25, 0.25]),
        (
            {"baseline_reference": "limit_support", "baseline_support": 0.3},
            [1.583333, -0.416667, -0.416667],
        ),
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
    config = small_config(tmp_path, policy="mu", baseline=-0.25)
    scored = ScoredRollouts(*write_scored_set(tmp_path, prompts=2, samples=4), samples=4)
    objective = ArmObjective(config, scored)
    is_muted_B = np.array([False, True, True, False, False, False, False])
    origins = Origins(np.zeros(7, int), np.zeros(7, int), is_muted_B)
    rewarded = objective.rewards(ROWS._replace(origins=origins))
    advantages_B = objective.advantages(rewarded, baseline=-0.25)
    inputs_B = objective.loss_inputs(advantages_B, rewarded, baseline=-0.25)
    assert isinstance(inputs_B, Tensor)
    assert [round(float(c), 6) for c in inputs_B] == [1.583333, 0, 0, 0.25, 0.25, 0.25, 0.25]
