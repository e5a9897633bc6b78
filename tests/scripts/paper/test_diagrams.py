"""A phase diagram's cells, where its safe region ends, and what is said of it."""

from pathlib import Path
from typing import Any

import pytest

from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.figures.canvas import CHARACTER_WIDTH
from asymreinforce.report.records import ArmOutcome, Experiment, ReportedArm
from scripts.paper.diagrams.axes import AXES, BEHAVIOUR, GROUP_SIZE, LEARNING_RATE, REFRESH
from scripts.paper.diagrams.cells import Axis, Cell, Diagram, Edge, gather_diagram
from scripts.paper.diagrams.maps import CELL_HEIGHT, draw_diagram, row_label
from scripts.paper.diagrams.words import diagram_findings, diagram_table, end_of
from tests.fixtures.made_up_experiment import MadeUpArm, empty, make_experiment

LR, G = "optim.lr", "sampling.samples_per_prompt"
USUAL = {LR: 1e-4, G: 8}


def arm(baseline: float, accuracy: float, *, seed: int = 0, **changes: Any) -> ReportedArm:
    """Return an arm that ended so; one under 0.3 has collapsed."""
    settings = {**USUAL, **changes.pop("settings", {})}
    outcome = empty(ArmOutcome)._replace(
        step=changes.pop("step", 200), accuracy=accuracy,
        behaviour_accuracy=changes.pop("behaviour", 0.4),
        verdict=changes.pop("verdict", "collapsed" if accuracy < 0.3 else "improved"),
        collapse_step=changes.pop("collapse_step", None),
    )  # fmt: skip
    made = empty(ReportedArm)._replace(
        id=f"{baseline}-{seed}-{settings}", algorithm="asymre", baseline=baseline,
        baseline_reference="group_mean", seed=seed, policy_seed=0, sampling_seed=0,
        settings=settings, differing=settings, outcome=outcome, checkpoints=(), metrics={},
    )  # fmt: skip
    return made._replace(**changes)


def gathered(arms: list[ReportedArm], axis: Any = LEARNING_RATE) -> Diagram:
    found = gather_diagram(Experiment(Path("runs/x"), "x", tuple(arms), {}), axis)
    assert found
    return found


RATES = [
    arm(-0.1, 0.8), arm(-0.1, 0.9, seed=1), arm(0.0, 0.1), arm(0.0, 0.7, seed=1),
    arm(-0.1, 0.6, settings={LR: 1e-3}), arm(0.0, 0.5, settings={LR: 1e-3}),
    arm(0.1, 0.55, settings={LR: 1e-3}),
    arm(-0.1, 0.2, settings={LR: 3e-5}),
]  # fmt: skip


def test_cells_hold_the_seeds_of_a_baseline_and_a_value_in_order() -> None:
    found = gathered(RATES)
    assert [row.label for row in found.rows] == ["3e-05", "0.0001", "0.001"]
    assert found.rows[1].cells == (Cell(-0.1, (0.8, 0.9), 0), Cell(0.0, (0.1, 0.7), 1))
    assert found.rows[1].cells[0].accuracy == pytest.approx(0.85)
    assert found.baselines == (-0.1, 0.0, 0.1)
    assert found.arms == len(found.experiment.arms) == 8
    assert found.experiment.shared == {G: 8}
    assert found.rows[1].seeds == (2, 2)


def test_the_safe_region_ends_before_the_lowest_baseline_with_a_collapse() -> None:
    assert [row.edge for row in gathered(RATES).rows] == [
        Edge(None, -0.1), Edge(-0.1, 0.0), Edge(0.1, None),
    ]  # fmt: skip
    beyond = [arm(-0.1, 0.8), arm(0.0, 0.1), arm(0.1, 0.9), arm(0.0, 0.9, settings={LR: 1.0})]
    assert gathered(beyond).rows[0].edge == Edge(-0.1, 0.0)


def test_what_the_written_rule_called_a_collapse_is_one_unless_the_arm_came_back() -> None:
    arms = [
        arm(0.0, 0.35, verdict="stable", collapse_step=90),
        arm(0.0, 0.35, verdict="stable", settings={LR: 1.0}),
        arm(0.0, 0.9, collapse_step=90, settings={LR: 2.0}),
        arm(0.0, 0.1, settings={LR: 3.0}),
    ]
    assert [row.cells[0].collapsed for row in gathered(arms).rows] == [1, 0, 0, 1]


def test_a_diagram_takes_the_arms_whose_other_settings_are_the_usual_ones() -> None:
    groups = [arm(0.0, 0.9, settings={G: size}) for size in (2, 4)]
    rates = gathered([*RATES, *groups])
    assert rates.arms == 8
    sizes = gathered([*RATES, *groups], GROUP_SIZE)
    assert [(row.label, len(row.cells)) for row in sizes.rows] == [("2", 1), ("4", 1), ("8", 2)]
    rival = [arm(0.0, 0.9, algorithm="grpo", settings={LR: 1.0})]
    assert gathered([*RATES, *rival]).arms == 8


def test_a_setting_with_one_value_makes_no_diagram() -> None:
    assert gather_diagram(Experiment(Path("x"), "x", (arm(0.0, 0.5),), {}), LEARNING_RATE) is None


def test_never_is_the_longest_refresh_interval_and_steps_stand_beside_it_where_they_vary() -> None:
    every = {"refresh_every": 25, "optim.steps": 300}
    arms = [
        arm(0.0, 0.1, settings={**every, "refresh_every": None}),
        arm(0.0, 0.9, settings=every),
        arm(0.0, 0.8, settings={"refresh_every": 1, "optim.steps": 60}, step=60),
    ]
    found = gathered(arms, REFRESH)
    assert [row_label(row, found) for row in found.rows] == [
        "1\n60 steps", "25\n200 steps", "never\n200 steps",
    ]  # fmt: skip


def test_another_behaviour_policy_is_named_with_its_accuracy() -> None:
    arms = [
        arm(0.0, 0.5, settings={BEHAVIOUR.key: share}, behaviour=accuracy)
        for share, accuracy in ((0.1, 0.25), (0.4, 0.55))
    ]
    found = gathered(arms, BEHAVIOUR)
    assert [row_label(row, found) for row in found.rows] == ["0.1\nµ right 25%", "0.4\nµ right 55%"]
    known = gather_diagram(
        Experiment(Path("x"), "x", tuple(arms), {}), BEHAVIOUR, worked={arms[0].id: 0.08}
    )
    assert known
    assert [row.behaviour_worked for row in known.rows] == [0.08, None]
    assert row_label(known.rows[0], known) == "0.1\nµ right 25%\nworks 8%"


def test_sentences_say_where_each_row_ends_and_with_how_many_seeds() -> None:
    assert [finding.text for finding in diagram_findings(gathered(RATES))] == [
        "Learning rate = 3e-05: 1 of 1 arm collapsed at −0.1 already, the lowest baseline tried.",
        "Learning rate = 0.0001: the largest baseline without a collapse is −0.1; at 0, 1 of 2 "
        "arms collapsed.",
        "Learning rate = 0.001: no arm collapsed, up to the highest baseline tried, +0.1.",
        "The baseline that ends highest, by learning rate: −0.1 for 3e-05 (20.0%), −0.1 for 0.0001 "
        "(85.0%) and −0.1 for 0.001 (60.0%).",
        "8 arms, 1 to 2 seeds a cell: a cell without a collapse says that none of these collapsed "
        "by the last step, not that none would.",
    ]


def test_rows_that_end_alike_are_told_together() -> None:
    arms = [arm(b, a, settings={LR: lr}) for lr in (1, 2) for b, a in ((-0.1, 0.9), (0.0, 0.1))]
    first, second, *_ = (finding.text for finding in diagram_findings(gathered(arms)))
    assert first.startswith("Learning rate = 1 and 2: the largest baseline without a collapse is")
    assert "at 0, 2 of 2 arms collapsed" in first
    assert second == "The end of the safe region does not move on this grid."


def test_the_table_has_every_cell_and_the_end_of_each_row() -> None:
    assert diagram_table(gathered(RATES)) == [
        ["learning rate", "−0.1", "0", "+0.1", "safe region ends"],
        ["3e-05", "20.0 (× 1 of 1)", "–", "–", "at or below −0.1"],
        ["0.0001", "85.0", "40.0 (× 1 of 2)", "–", "−0.1 to 0"],
        ["0.001", "60.0", "50.0", "55.0", "none collapsed"],
    ]
    assert end_of(Edge(-0.05, 0.0)) == "−0.05 to 0"


def test_the_drawing_shows_the_numbers_and_counts_of_a_directory(tmp_path: Path) -> None:
    made = [
        MadeUpArm(baseline, seed, overrides=((LR, lr),))
        for baseline in (-0.3, 0.1)
        for seed in (0, 1)
        for lr in (1e-4, 3e-4)
    ]
    experiment = read_experiment(make_experiment(tmp_path, made, metric_files=1))
    found = gather_diagram(experiment, LEARNING_RATE)
    assert found
    svg = draw_diagram(found).svg.decode()
    for row in found.rows:
        for cell in row.cells:
            assert f">{100 * cell.accuracy:.0f}<" in svg
    assert svg.count(">× 2 of 2<") == 2
    assert draw_diagram(found) == draw_diagram(found)


@pytest.mark.parametrize("axis", AXES)
def test_the_name_of_an_axis_fits_beside_two_rows(axis: Axis) -> None:
    """An inch holds a dozen letters, and a diagram has two rows of half an inch at least."""
    assert len(axis.words) * CHARACTER_WIDTH <= 2 * CELL_HEIGHT + 1.1
