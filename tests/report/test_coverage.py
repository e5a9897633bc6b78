"""What the samples of settings cover, against numbers by hand, and the sentences made of them."""

import numpy as np
import pytest

from asymreinforce.report.coverage import (
    Coverage,
    GroupCoverage,
    Line,
    coverage_findings,
    first_crossing,
    read_coverage,
)
from asymreinforce.report.evaluated import read_ends
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.groups import ArmGroup, group_arms, told_apart
from asymreinforce.report.page.result_table import coverage_table
from asymreinforce.report.records import Experiment
from tests.fixtures.made_up_experiment import SEEDS, make_experiment, sweep


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    directory = tmp_path_factory.mktemp("runs") / "made-up"
    arms = sweep((-0.5, -0.3, 0.0))
    return read_experiment(make_experiment(directory, arms, metric_files=1))


@pytest.fixture(scope="module")
def groups(experiment: Experiment) -> tuple[ArmGroup, ...]:
    return group_arms(experiment)


def line(name: str, *pass_at_K: float, answers: float = 1.0) -> Line:
    answers_at_K = (1.0,) * (len(pass_at_K) - 1) + (answers,)
    return Line(name, 3, pass_at_K, answers_at_K, answers_at_K, None)


def told(groups: tuple[ArmGroup, ...], *lines: Line) -> str:
    settings = tuple(GroupCoverage(of, own) for of, own in zip(groups, lines, strict=True))
    found = Coverage(len(lines[0].pass_at_K), line("µ", 0.4, 0.6), settings, None)
    return "\n".join(coverage_findings(found))


def test_a_setting_s_curve_is_the_mean_of_its_seeds_at_the_last_step(
    experiment: Experiment, groups: tuple[ArmGroup, ...]
) -> None:
    ends = read_ends(experiment)
    found = read_coverage(experiment, groups, ends)
    assert found and found.k == 2 and found.rollouts is None
    own = [ends[arm.id].last for arm in groups[1].arms]
    assert found.settings[1].line.pass_at_K == pytest.approx(
        np.mean([of.pass_at_K for of in own], axis=0)
    )
    assert (found.settings[1].line.runs, found.settings[1].line.name) == (len(SEEDS), "−0.3")
    # mu is one evaluation that all nine arms share
    assert found.behaviour and found.behaviour.runs == 1
    table = coverage_table(found)
    assert [row[0].text for row in table.rows] == ["µ", "−0.5", "−0.3", "0"]
    assert table.columns[2:5] == ("pass@1, %", "pass@2, %", "answers of 2")


def test_without_evaluations_there_is_no_coverage(
    experiment: Experiment, groups: tuple[ArmGroup, ...]
) -> None:
    assert read_coverage(experiment, groups, {}) is None


def test_the_crossing_is_where_mu_covers_more() -> None:
    assert first_crossing([0.3, 0.5, 0.7], [0.6, 0.62, 0.63]) == 3
    assert first_crossing([0.3, 0.5], [0.6, 0.7]) is None


def test_a_setting_that_bought_accuracy_with_coverage_is_named(
    groups: tuple[ArmGroup, ...],
) -> None:
    text = told(groups, line("−0.5", 0.5, 0.65), line("−0.3", 0.55, 0.58), line("0", 0.1, 0.2))
    assert "Of 2 settings that ended above µ" in text
    assert "1 covers fewer prompts than µ at some k (−0.3 from k = 2); pass@2 (60.0% for µ)" in text
    # collapsed arms are in no sentence: the pair is -0.5 and -0.3 alone
    assert "a higher baseline trades coverage for accuracy. Of 1 pair " in text


def test_no_trade_is_said_where_both_rise(groups: tuple[ArmGroup, ...]) -> None:
    text = told(
        groups, line("−0.5", 0.5, 0.65, answers=1.5), line("−0.3", 0.6, 0.7, answers=1.2),
        line("0", 0.1, 0.2),
    )  # fmt: skip
    assert "none covers fewer prompts than µ at any k up to 2" in text
    assert "does not trade coverage for accuracy here. Of 1 pair " in text
    assert "less pass@2 in 0, moves both the same way in 1, and gives fewer distinct" in text
    assert text.endswith(
        "k ends at 2; 'asymrl evaluate evaluation.sampling.samples_per_prompt=16' draws more from "
        "the same weights."
    )


def test_a_setting_that_another_implies_is_left_out_of_names() -> None:
    others = [
        (("optim.steps", "60"), ("refresh_every", "1")),
        (("optim.steps", "300"), ("refresh_every", "25")),
        (("optim.steps", "300"), ("refresh_every", "null")),
    ]
    assert [told_apart(own, others) for own in others] == [
        ["N=1"], ["N=25"], ["N=never"],
    ]  # fmt: skip
    apart = [(("a", "1"), ("b", "1")), (("a", "1"), ("b", "2")), (("a", "2"), ("b", "1"))]
    assert told_apart(apart[0], apart) == ["a=1", "b=1"]
