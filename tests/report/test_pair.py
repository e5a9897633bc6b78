"""Two experiments side by side: twins, differences seed by seed, settings that differ."""

import json
from pathlib import Path

import numpy as np
import pytest

from asymreinforce.errors import InputError
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.page.comparison import comparison_sentence
from asymreinforce.report.pair import ExperimentPair, pair_experiments
from asymreinforce.report.read import read_pair
from asymreinforce.report.write import write_comparison
from tests.fixtures.made_up_experiment import SEEDS, STEPS, MadeUpArm, make_experiment, sweep


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> ExperimentPair:
    runs = tmp_path_factory.mktemp("runs")
    make_experiment(runs / "one", sweep([-0.3, 0.1]), metric_files=1)
    make_experiment(runs / "two", sweep([-0.3, 0.0]), metric_files=1)
    for path in (runs / "two" / "train").glob("*/config.json"):
        config = json.loads(path.read_text())
        config["optim"]["lr"] = 3e-4
        path.write_text(json.dumps(config))
    return pair_experiments(read_experiment(runs / "one"), read_experiment(runs / "two"))


def test_a_group_is_compared_with_its_twin_and_the_others_are_named(
    compared: ExperimentPair,
) -> None:
    assert [twin.name for twin in compared.twins] == ["−0.3"]
    assert compared.alone == (("+0.1",), ("0",))
    mean = np.mean([MadeUpArm(-0.3, seed).accuracy(STEPS[-1]) for seed in SEEDS])
    assert compared.twins[0].accuracies == pytest.approx((mean, mean))
    comparison = compared.twins[0].comparison
    assert comparison and comparison.pairs == 3
    assert comparison.difference == pytest.approx(0.0)


def test_settings_that_differ_between_the_two_are_listed_and_no_others(
    compared: ExperimentPair,
) -> None:
    assert [tuple(item) for item in compared.differences] == [("optim.lr", 1e-4, 3e-4)]
    assert "optim.lr" not in compared.merged.shared
    assert compared.merged.shared["task.name"] == "cups"


def test_arms_of_both_are_groups_of_the_merged_experiment(compared: ExperimentPair) -> None:
    others = [(of.baseline, dict(of.others)["experiment"]) for of in compared.groups]
    assert sorted(others, key=str) == sorted(
        [(-0.3, "one"), (0.1, "one"), (-0.3, "two"), (0.0, "two")], key=str
    )


def test_the_page_of_two_stands_beside_that_of_the_first(compared: ExperimentPair) -> None:
    page = write_comparison(compared)
    first, second = compared.experiments
    assert page == first.directory / "report-and-two.html"
    text = page.read_text()
    assert f"asymrl report {first.directory} {second.directory}" in text
    assert f"asymrl samples {second.directory}" in text
    assert "Only in one: +0.1" in text and "Only in two: 0" in text
    lead = text.split('<p class="lead">')[1].split("</p>")[0]
    assert lead == comparison_sentence(compared)


def test_the_answer_counts_the_settings_of_both_at_which_the_second_ends_above(
    compared: ExperimentPair,
) -> None:
    (twin,) = compared.twins
    assert twin.comparison
    apart = twin.comparison._replace(difference=0.2, p_holm=0.01)
    assert comparison_sentence(compared._replace(twins=(twin._replace(comparison=apart),))) == (
        "two ends above one at 1 and below it at 0 of the common settings (1 tested); at the "
        "others, seeds explain the difference."
    )
    assert "by more than seeds explain" in comparison_sentence(compared)
    nothing = compared._replace(twins=())
    assert comparison_sentence(nothing).startswith("No setting is in both experiments")
    untested = tuple(twin._replace(comparison=None) for twin in compared.twins)
    assert "enough seeds" in comparison_sentence(compared._replace(twins=untested))


def test_experiments_of_one_name_are_told_apart_by_their_directories(tmp_path: Path) -> None:
    for place in ("a", "b"):
        make_experiment(tmp_path / place / "cups", sweep([-0.3], seeds=[0]), metric_files=1)
    found = read_pair(tmp_path / "a" / "cups", tmp_path / "b" / "cups")
    assert [of.name for of in found.experiments] == [
        str(tmp_path / "a" / "cups"), str(tmp_path / "b" / "cups"),
    ]  # fmt: skip
    assert write_comparison(found) == tmp_path / "a" / "cups" / "report-and-cups.html"


def test_an_experiment_is_not_compared_with_itself(tmp_path: Path) -> None:
    make_experiment(tmp_path / "one", sweep([-0.3], seeds=[0]), metric_files=1)
    with pytest.raises(InputError, match="compared with itself"):
        read_pair(tmp_path / "one", tmp_path / "one" / ".." / "one")


def test_samples_of_two_stand_side_by_side_and_hostile_text_stays_text(tmp_path: Path) -> None:
    hostile = "</pre><script>document.title = 'owned'</script>\x1b[2J"
    make_experiment(tmp_path / "one", sweep([-0.3, 0.1], seeds=[0]), text=hostile, metric_files=1)
    make_experiment(tmp_path / "two", sweep([-0.2], seeds=[0]), text=hostile, metric_files=1)
    page = write_comparison(read_pair(tmp_path / "one", tmp_path / "two")).read_text()
    samples = page.split('<section id="samples">')[1].split("</section>")[0]
    assert samples.count('<article class="prompt">') == 20
    roles = ("behaviour policy µ of one", "lowest seed of the best setting of one",
             "lowest seed of the best setting of two",
             "lowest collapsed arm of one")  # fmt: skip
    for role in roles:
        assert samples.count(f"<dt>{role}</dt>") == 1
        assert samples.count(f'<p class="role">{role}') == 20
    assert f"asymrl samples {tmp_path}/two --arm" in samples
    assert page.count("<script>document") == 0 and samples.count("&lt;script&gt;document") >= 80
    assert "\x1b" not in page and r"\x1b[2J" in samples
