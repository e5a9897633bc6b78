"""Arms against arms: pairs, what varied under them, and correction for their number."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.groups import ArmGroup, group_arms
from asymreinforce.report.statistics.comparison import (
    Comparison,
    Seeds,
    against_behaviour,
    between_pairs,
    holm_corrected,
    independent_replicates,
)
from asymreinforce.report.statistics.intervals import crossed, p_of_interval
from tests.fixtures.made_up_experiment import BEHAVIOUR, make_experiment, sweep


def groups_of(directory: Path, baselines: Any = (-0.3, -0.1, 0.1)) -> tuple[ArmGroup, ...]:
    return group_arms(read_experiment(make_experiment(directory, sweep(baselines))))


def compared(pairs: list[tuple[ArmGroup, ArmGroup]], **right: Any) -> list[Comparison]:
    """Compare pairs that all share a seed."""
    return [item for item in between_pairs(pairs, **right) if item]


def test_groups_are_compared_pair_by_pair_at_the_last_step(tmp_path: Path) -> None:
    groups = groups_of(tmp_path)
    first, second = compared([(groups[0], group) for group in groups[1:]])
    assert first.pairs == 3
    pairs = [
        ours.outcome.accuracy - theirs.outcome.accuracy
        for ours, theirs in zip(groups[1].arms, groups[0].arms, strict=True)
        if ours.outcome and theirs.outcome
    ]
    assert first.difference == pytest.approx(sum(pairs) / 3)
    assert first.interval and first.interval.low < first.difference < first.interval.high
    assert first.interval.varied == ("data order",)
    assert second.difference < -0.6


def test_where_mu_is_refreshed_a_seed_varies_the_later_rollouts_too(tmp_path: Path) -> None:
    first, *_ = groups_of(tmp_path)
    arms = tuple(arm._replace(settings={**arm.settings, "refresh_every": 25}) for arm in first.arms)
    (found,) = against_behaviour([first._replace(arms=arms)])
    assert found and found.interval
    assert found.interval.varied == ("data order", "rollouts after the first refresh")


def test_corrected_p_values_are_those_of_the_whole_family(tmp_path: Path) -> None:
    groups = groups_of(tmp_path)
    found = [item for item in against_behaviour(groups) if item]
    assert len(found) == 3
    assert [item.p_holm for item in found] == holm_corrected([item.p or 0.0 for item in found])
    assert found[0].difference == pytest.approx(0.96 - BEHAVIOUR, abs=0.03)


def test_a_single_seed_gives_a_difference_and_no_interval(tmp_path: Path) -> None:
    experiment = read_experiment(make_experiment(tmp_path, sweep((-0.3, 0.1), seeds=(0,))))
    found = group_arms(experiment)
    (only,) = compared([(found[0], found[1])])
    assert (only.pairs, only.interval, only.p, only.p_holm) == (1, None, None, None)


def test_arms_without_a_common_seed_are_not_compared(tmp_path: Path) -> None:
    arms = [*sweep((-0.3,), seeds=(0, 1)), *sweep((0.1,), seeds=(2, 3))]
    found = group_arms(read_experiment(make_experiment(tmp_path, arms)))
    assert between_pairs([(found[0], found[1])]) == [None]


def test_seeds_of_training_alone_vary_the_data_order() -> None:
    found = independent_replicates({Seeds(0, 0, 0): 0.1, Seeds(0, 0, 1): 0.3})
    assert (found.values_N.tolist(), found.varied) == ([0.1, 0.3], ("data order",))


def test_runs_of_one_behaviour_policy_are_one_replicate() -> None:
    """Two policies of two runs each are two draws of what varies most, not four."""
    values = {Seeds(p, p, s): 10.0 * p + s for p in (1, 2) for s in (0, 1)}
    found = independent_replicates(values)
    assert found.values_N.tolist() == [10.5, 20.5]
    assert found.varied == ("behaviour policy", "rollouts", "data order")


def test_sets_of_rollouts_of_one_policy_are_the_replicates_where_they_vary() -> None:
    found = independent_replicates({Seeds(0, 1, 0): 1.0, Seeds(0, 2, 0): 2.0, Seeds(0, 2, 1): 4.0})
    assert (found.values_N.tolist(), found.varied) == ([1.0, 3.0], ("rollouts", "data order"))


def test_holm_by_hand() -> None:
    """0.01 * 4, 0.03 * 3 = 0.09 (third smallest, 0.04 * 2 = 0.08, is lifted to it), 0.5."""
    assert holm_corrected([0.03, 0.5, 0.01, 0.04]) == pytest.approx([0.09, 0.5, 0.04, 0.09])


def test_holm_of_one_changes_nothing_and_nothing_exceeds_1() -> None:
    assert holm_corrected([0.2]) == [0.2]
    assert holm_corrected([0.6, 0.7, 0.9]) == [1.0, 1.0, 1.0]
    assert holm_corrected([]) == []


def of_policies(directory: Path) -> tuple[ArmGroup, ...]:
    """Groups whose seeds 0, 1, 2 started from a behaviour policy each."""
    return tuple(
        of._replace(arms=tuple(arm._replace(policy_seed=arm.seed) for arm in of.arms))
        for of in groups_of(directory, (-0.3, 0.1))
    )


def answers(groups: tuple[ArmGroup, ...]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {arm.id: generator.random(40) for of in groups for arm in of.arms}


def test_where_policies_vary_runs_are_crossed_with_the_prompts_that_they_answered(
    tmp_path: Path,
) -> None:
    groups = of_policies(tmp_path)
    right = answers(groups)
    (found,) = compared([(groups[0], groups[1])], right=right)
    values_NP = np.stack(
        [right[own.id] - right[base.id] for own, base in zip(groups[1].arms, groups[0].arms,
                                                             strict=True)]
    )  # fmt: skip
    varied = ("behaviour policy", "rollouts", "data order")
    assert found.interval
    assert found.interval[:3] == pytest.approx(crossed(values_NP, varied=varied)[:3])
    assert found.interval.varied == (*varied, "evaluation prompts")
    assert found.p == pytest.approx(p_of_interval(found.interval))


def test_runs_are_not_crossed_where_data_order_alone_varies_or_answers_are_missing(
    tmp_path: Path,
) -> None:
    groups = groups_of(tmp_path / "order", (-0.3, 0.1))
    (found,) = compared([(groups[0], groups[1])], right=answers(groups))
    assert found.interval and "evaluation prompts" not in found.interval.varied
    policies = of_policies(tmp_path / "policies")
    right = answers(policies)
    del right[policies[1].arms[0].id]
    (found,) = compared([(policies[0], policies[1])], right=right)
    assert found.interval and "evaluation prompts" not in found.interval.varied


def test_a_prompt_that_a_run_was_not_judged_on_is_left_out_of_the_crossing(tmp_path: Path) -> None:
    groups = of_policies(tmp_path)
    gains = answers(groups)
    gains[groups[0].arms[0].id][:3] = np.nan
    found = against_behaviour(groups, gains=gains)[0]
    values_NP = np.stack([gains[arm.id][3:] for arm in groups[0].arms])
    assert found and found.interval and found.interval.estimate == pytest.approx(values_NP.mean())
