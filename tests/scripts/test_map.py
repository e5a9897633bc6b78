"""Scripts that print the map: tables over two settings, and signals that foresee a collapse."""

from pathlib import Path

import pytest

from asymreinforce.report.experiment import read_experiment
from scripts.foresee_collapse import Watched, alarm_step, auc_at, fall_of, threshold_of, watch
from scripts.pivot import read_arms, table
from tests.fixtures.made_up_experiment import make_experiment, sweep


def watched(values: list[float], fall: int | None) -> Watched:
    return Watched("made up", {"signal": list(zip((10, 20, 30), values, strict=True))}, fall)


FALLING = [watched([0.1, 0.8, 0.9], 30), watched([0.2, 0.3, 0.9], 30)]
HEALTHY = [watched([0.1, 0.2, 0.5], None), watched([0.3, 0.3, 0.3], None)]


def test_auc_counts_pairs_and_halves_ties_before_the_fall() -> None:
    """At step 20 0.8 is above both and 0.3 above one and level with the other; at 30 both fell."""
    arms = [*FALLING, *HEALTHY]
    assert auc_at(20, "signal", arms) == (2 + 1.5) / 4
    assert auc_at(30, "signal", arms) is None


def test_an_alarm_is_the_first_step_beyond_what_healthy_arms_reach() -> None:
    threshold = threshold_of("signal", [*FALLING, *HEALTHY])
    assert threshold == pytest.approx(0.49)  # 95% of the way from 0.3 to 0.5
    assert [alarm_step(arm, "signal", threshold) for arm in FALLING] == [20, 30]
    assert alarm_step(HEALTHY[1], "signal", threshold) is None


def test_a_made_up_sweep_falls_above_0_and_not_below(tmp_path: Path) -> None:
    experiment = read_experiment(make_experiment(tmp_path / "made", sweep((-0.1, 0.3))))
    falls = {arm.id: fall_of(arm, experiment.split) for arm in experiment.arms}
    assert [falls[arm.id] is None for arm in experiment.arms] == [True] * 3 + [False] * 3
    assert len(watch(experiment)) == 6


def test_a_table_has_a_cell_for_each_pair_of_values(tmp_path: Path) -> None:
    make_experiment(tmp_path / "made", sweep((-0.1, 0.3), seeds=(0, 1)))
    arms = read_arms(tmp_path / "made")
    lines = table(arms, ["baseline"], "experiment", "accuracy")
    assert lines[0] == "| baseline | experiment made |"
    assert lines[2].startswith("| -0.1 | 8") and "collapsed" not in lines[2]
    assert lines[3].startswith("| 0.3 | 20.5 [20.1, 20.9]") and lines[3].endswith(
        "2 of 2 collapsed |"
    )
