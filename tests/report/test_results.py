"""What is said of each setting: against the statistics package, and against numbers by hand."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from asymreinforce.errors import InputError
from asymreinforce.report.commands import Commands, shorten_ids
from asymreinforce.report.evaluated import intervals_of_run, read_ends
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.findings import answer_sentence, finding_sentences
from asymreinforce.report.groups import ArmGroup, group_arms
from asymreinforce.report.page.cells import bracket_interval
from asymreinforce.report.page.result_table import result_table
from asymreinforce.report.records import Experiment
from asymreinforce.report.results import GroupResults, compare_groups, seed_deviation, seeds_for
from asymreinforce.report.setting import describe_experiment
from asymreinforce.report.statistics.intervals import Interval, between_runs, seeds_needed
from tests.fixtures.made_up_experiment import (
    BEHAVIOUR,
    PROMPTS,
    SEEDS,
    STEPS,
    MadeUpArm,
    make_experiment,
    sweep,
)

SWEPT = (-0.3, 0.0, 0.3)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    directory = tmp_path_factory.mktemp("runs") / "made-up"
    return read_experiment(make_experiment(directory, sweep(SWEPT), metric_files=1))


@pytest.fixture(scope="module")
def groups(experiment: Experiment) -> tuple[ArmGroup, ...]:
    return group_arms(experiment)


@pytest.fixture(scope="module")
def found(experiment: Experiment, groups: tuple[ArmGroup, ...]) -> GroupResults:
    return compare_groups(experiment, groups)


def last(baseline: float, seed: int) -> float:
    return MadeUpArm(baseline, seed).accuracy(STEPS[-1])


def test_every_setting_is_compared_with_the_baseline_nearest_to_zero(found: GroupResults) -> None:
    assert found.against == "0"
    assert [row.name for row in found.rows] == ["−0.3", "0", "+0.3"]
    assert found.rows[1].against is None


def test_rivals_are_compared_with_asymre_on_the_group_mean_if_it_is_there(tmp_path: Path) -> None:
    arms = [
        MadeUpArm(-0.3, 0, "topr", "zero"),
        MadeUpArm(0.0, 0, "asymmetric", "zero"),
        MadeUpArm(0.0, 0, reference="dataset_mean"),
        MadeUpArm(-0.1, 0),
        MadeUpArm(-0.3, 0),
    ]
    experiment = read_experiment(make_experiment(tmp_path, arms))
    assert compare_groups(experiment, group_arms(experiment)).against == "asymre, −0.1, group mean"
    others = tuple(group for group in group_arms(experiment) if group.algorithm != "asymre")
    assert compare_groups(experiment, others).against == "asymmetric, 0"


def test_a_difference_is_a_paired_t_over_seeds_by_hand(found: GroupResults) -> None:
    pairs = np.array([last(-0.3, seed) - last(0.0, seed) for seed in SEEDS])
    half = stats.t.ppf(0.975, 2) * pairs.std(ddof=1) / np.sqrt(3)
    comparison = found.rows[0].against
    assert comparison and comparison.interval
    assert comparison.interval[:3] == pytest.approx(
        (pairs.mean(), pairs.mean() - half, pairs.mean() + half)
    )
    assert comparison.interval.varied == ("data order",)
    assert seed_deviation(comparison.interval) == pytest.approx(pairs.std(ddof=1))
    low, high = sorted(row.against.p or 0 for row in found.rows if row.against)
    corrected = {low: 2 * low, high: max(2 * low, high)}  # Holm: the smaller of two is doubled
    assert comparison.p_holm == pytest.approx(corrected[comparison.p or 0])


def test_the_last_step_counts_and_not_the_best(found: GroupResults) -> None:
    """At 0 the made-up arms peak at 94% and end at 26%."""
    mean = sum(last(0.0, seed) for seed in SEEDS) / 3
    assert found.rows[1].accuracy == pytest.approx(mean)
    assert mean < 0.3
    difference = found.rows[1].against_behaviour
    assert difference and difference.difference == pytest.approx(mean - BEHAVIOUR)


def test_another_setting_may_be_compared_with_by_name(
    experiment: Experiment, groups: tuple[ArmGroup, ...]
) -> None:
    for name in ("-0.3", "−0.3"):
        assert compare_groups(experiment, groups, against=name).against == "−0.3"
    assert compare_groups(experiment, groups, against="0.3").against == "+0.3"
    with pytest.raises(InputError, match=r"no evaluated arm is called '0\.7'.*−0\.3, 0, \+0\.3"):
        compare_groups(experiment, groups, against="0.7")


def test_the_power_line_names_seeds_by_the_spread_of_the_differences(found: GroupResults) -> None:
    assert found.power
    assert "2 for" in found.power or "3 for" in found.power
    assert "The 3 seeds of this experiment detect" in found.power


def test_the_spread_of_collapsed_arms_says_nothing_of_seeds(found: GroupResults) -> None:
    """+0.3 collapses in each seed, and 0 in some: -0.3 is told by its spread against mu."""
    assert "collapsed" in dict(found.rows[2].fates)
    assert found.power and "did not collapse: −0.3 against" in found.power


def test_arms_of_one_policy_share_the_noise_of_mu_s_evaluation(
    experiment: Experiment, groups: tuple[ArmGroup, ...]
) -> None:
    ends = read_ends(experiment)
    with_noise = compare_groups(experiment, groups, ends=ends).rows[0].against_behaviour
    without = compare_groups(experiment, groups).rows[0].against_behaviour
    assert with_noise and with_noise.interval and without and without.interval
    assert with_noise.interval.varied == ("data order", "draws of µ's evaluation")
    assert without.interval.varied == ("data order",)
    assert with_noise.difference == without.difference


def test_each_setting_is_told_the_seeds_that_a_difference_needs_by_its_own_spread(
    found: GroupResults,
) -> None:
    rows = {row.name: row for row in seeds_for(found, points=2)}
    assert list(rows) == ["−0.3", "0", "+0.3"]
    pairs = np.array([last(-0.3, seed) - last(0.0, seed) for seed in SEEDS])
    assert rows["−0.3"].deviation == pytest.approx(pairs.std(ddof=1))
    needed = seeds_needed(difference=0.02, deviation=float(pairs.std(ddof=1)))
    assert rows["−0.3"].needed == str(needed)
    with pytest.raises(InputError, match="above 0"):
        seeds_for(found, points=0)


def test_one_seed_has_a_difference_and_no_interval(tmp_path: Path) -> None:
    found = read_experiment(make_experiment(tmp_path, sweep(SWEPT, seeds=[0]), metric_files=1))
    rows = compare_groups(found, group_arms(found)).rows
    assert rows[0].against and rows[0].against.interval is None
    assert rows[0].against.difference == pytest.approx(last(-0.3, 0) - last(0.0, 0))
    with pytest.raises(InputError, match="two seeds or more"):
        seeds_for(compare_groups(found, group_arms(found)), points=2)
    table = result_table(compare_groups(found, group_arms(found)), None)
    assert "one run: no interval" in [cell.under for cell in table.rows[0]]


def test_settings_that_share_no_seed_are_not_compared(tmp_path: Path) -> None:
    arms = [*sweep([-0.3], seeds=[0, 1]), *sweep([0.0], seeds=[2, 3])]
    found = read_experiment(make_experiment(tmp_path, arms, metric_files=1))
    rows = compare_groups(found, group_arms(found)).rows
    assert [row.against for row in rows] == [None, None]
    assert all(row.against_behaviour for row in rows)


def test_seeds_that_ended_in_two_heaps_are_marked(
    experiment: Experiment, groups: tuple[ArmGroup, ...]
) -> None:
    first, *others = groups[0].arms
    assert first.outcome
    fallen = first._replace(outcome=first.outcome._replace(verdict="collapsed"))
    mixed = (groups[0]._replace(arms=(fallen, *others)), *groups[1:])
    row = compare_groups(experiment, mixed).rows[0]
    assert row.is_split and row.fates == (("improved", 2), ("collapsed", 1))
    texts = [cell.text for cell in result_table(compare_groups(experiment, mixed), None).rows[0]]
    assert "2 ↑ 1 ↓" in texts and any(text.endswith("‡") for text in texts)


def test_what_varied_stands_under_each_interval(found: GroupResults) -> None:
    for row in result_table(found, None).rows:
        assert "3 seeds: data order" in [cell.under for cell in row]


def test_an_interval_is_written_in_points_with_a_true_minus() -> None:
    narrow = Interval(0.5, -0.012, 0.051, 3, 2.0, ())
    assert bracket_interval(narrow) == "[−1.2, 5.1]"
    assert bracket_interval(narrow, sign="+") == "[−1.2, +5.1]"
    assert bracket_interval(narrow._replace(low=-1.42)) == "[−142, 5]"


def test_one_run_has_intervals_over_prompts_that_hold_its_own_estimate(
    experiment: Experiment,
) -> None:
    ends = read_ends(experiment)
    assert set(ends) == {arm.id for arm in experiment.arms}
    arm = experiment.arms[0]
    last = ends[arm.id].last
    assert len(last.kept_P) == PROMPTS and last.k == 2
    own = intervals_of_run(ends[arm.id])
    assert own.accuracy.estimate == pytest.approx(last.accuracy_P.mean())
    assert own.accuracy.varied == ("evaluation prompts",)
    difference = own.minus_behaviour
    assert difference and difference.low < difference.estimate < difference.high
    assert difference.varied == ("evaluation prompts",)


def test_arms_are_named_as_shortly_as_tells_them_apart() -> None:
    assert shorten_ids(["0dd6e7504484b8ac", "f00d17"]) == {
        "0dd6e7504484b8ac": "0dd6e7", "f00d17": "f00d17",
    }  # fmt: skip
    alike = shorten_ids(["aaaaaaaa1", "aaaaaaaa2"])
    assert alike == {"aaaaaaaa1": "aaaaaaaa1", "aaaaaaaa2": "aaaaaaaa2"}


def test_a_command_can_be_pasted_whatever_the_directory_is_called(experiment: Experiment) -> None:
    odd = experiment._replace(directory=Path("runs/it's; here"))
    arm = experiment.arms[0]
    words = shlex.split(Commands(odd).samples(arm, step=300, prompt_id="a b"))
    assert words[:3] == ["asymrl", "samples", "runs/it's; here"]
    assert words[-4:] == ["--step", "300", "--prompt-id", "a b"]
    assert Commands(odd).rollouts(arm) == (
        "asymrl inspect 'runs/it'\"'\"'s; here' --baseline -0.3 --reference group_mean"
    )


def test_the_setting_names_the_token_aggregation(tmp_path: Path) -> None:
    arms = [MadeUpArm(-0.3, 0, overrides=(("algorithm.aggregation", "token_mean"),))]
    found = read_experiment(make_experiment(tmp_path, arms, metric_files=1))
    facts = dict(describe_experiment(found, group_arms(found)))
    assert facts["Token aggregation"] == "token_mean: all tokens of a step weigh the same"
    assert facts["Rollouts"] == "8 of each prompt, temperature 1.0, at most 12 tokens"
    assert facts["Baseline"] == "−0.3; V(x) = mean reward of the prompt's samples + baseline"


def test_the_spread_of_an_interval_is_the_deviation_it_was_made_of() -> None:
    values = np.array([0.1, 0.15, 0.3, 0.2])
    interval = between_runs(values, varied=("data order",))
    assert seed_deviation(interval) == pytest.approx(values.std(ddof=1))


def test_a_collapse_is_told_whatever_the_reference_is(tmp_path: Path) -> None:
    by_zero = [MadeUpArm(0.3, seed, reference="zero") for seed in SEEDS]
    experiment = read_experiment(make_experiment(tmp_path / "zero", by_zero))
    answer = answer_sentence(experiment, group_arms(experiment))
    assert answer and answer.endswith("; collapsed: all 3 in this experiment.")

    both = [*by_zero, *(MadeUpArm(-0.3, seed) for seed in SEEDS)]
    experiment = read_experiment(make_experiment(tmp_path / "both", both))
    groups = group_arms(experiment)
    answer = answer_sentence(experiment, groups)
    assert answer and answer.endswith("collapsed: all 3 with another reference or no baseline.")
    told = finding_sentences(experiment, groups)
    assert told[2] == "Below 0, all 3 arms improved."
    assert told[3] == "With another reference or no baseline, all 3 arms collapsed."
