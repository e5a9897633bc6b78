"""The numbers in the picture: none covers a dot or another number, however close baselines are."""

import re
from pathlib import Path

import pytest

from asymreinforce.config import REFERENCES as KNOWN
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.figures.colours import Style, group_styles
from asymreinforce.report.figures.files import draw_all
from asymreinforce.report.figures.phase_transition import SheetBox, _drawable
from asymreinforce.report.groups import ArmGroup, group_arms
from asymreinforce.report.words import REFERENCES, words_of
from tests.fixtures.made_up_experiment import BASELINES, SEEDS, MadeUpArm, make_experiment, sweep

DOT = re.compile(r'<use [^>]*? x="([\d.]+)" y="([\d.]+)" style="fill: #\w+; fill-opacity')
NUMBER = re.compile(
    r'<text style="font-weight: 700; font-size: 9px[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>'
    r"(\d+)</text>"
)
CROWDED = (-0.03, -0.02, -0.01, 0.0, 0.01, 0.02)


def drawn(directory: Path, baselines: tuple[float, ...], *, is_narrow: bool) -> str:
    experiment = read_experiment(make_experiment(directory, sweep(baselines), metric_files=1))
    drawings = draw_all(experiment, group_arms(experiment), [])
    return (drawings.narrow if is_narrow else drawings.wide)[0].svg.decode()


@pytest.mark.parametrize("is_narrow", [False, True], ids=["wide", "narrow"])
@pytest.mark.parametrize("baselines", [(-0.5, -0.3, -0.1, 0.0, 0.1), CROWDED, (-1.0, *CROWDED)])
def test_no_number_covers_a_dot_or_another_number(
    tmp_path: Path, baselines: tuple[float, ...], is_narrow: bool
) -> None:
    text = drawn(tmp_path, baselines, is_narrow=is_narrow)
    dots = [(float(x), float(y)) for x, y in DOT.findall(text)]
    numbers = [(float(x), float(y), told) for x, y, told in NUMBER.findall(text)]
    assert len(dots) == 3 * len(baselines)
    assert len(numbers) >= 2
    boxes = [
        SheetBox(x - 2.8 * len(told), x + 2.8 * len(told), y - 6.6, y) for x, y, told in numbers
    ]
    spots = [SheetBox(x - 2.5, x + 2.5, y - 2.5, y + 2.5) for x, y in dots]
    for place, box in enumerate(boxes):
        assert not any(map(box.covers, boxes[place + 1 :]))
        assert not any(map(box.covers, spots))


def test_all_means_are_written_where_there_is_room(tmp_path: Path) -> None:
    written = [told for _, _, told in NUMBER.findall(drawn(tmp_path, BASELINES, is_narrow=False))]
    means = [sum(MadeUpArm(b, s).accuracy(300) for s in SEEDS) / len(SEEDS) for b in BASELINES]
    assert written == [f"{100 * value:.0f}" for value in means]


def test_no_critical_value_is_drawn_where_the_reference_has_none() -> None:
    assert words_of("group_mean").is_critical_at_0 and words_of("dataset_mean").is_critical_at_0
    for reference in ("group_quantile", "shrunk_group_mean", "length_weighted_mean", "mine:median"):
        assert not words_of(reference).is_critical_at_0
    assert words_of("mine:median").formula == "V(x) = mine:median + baseline"


def test_every_reference_has_its_words() -> None:
    assert REFERENCES.keys() == set(KNOWN)


def of_objective(name: str, baseline: float) -> tuple[ArmGroup, Style]:
    group = ArmGroup(name, "group_mean", baseline, (), ())
    return group, group_styles([group])[0]


def test_of_many_objectives_only_those_with_several_baselines_are_drawn() -> None:
    one = [of_objective(f"rival{number}", 0.0) for number in range(7)]
    swept = [of_objective("asymre", baseline) for baseline in (-0.1, 0.0)]
    assert _drawable([*one[:6]]) == one[:6]
    assert _drawable([*one, *swept]) == swept
    assert _drawable(one) == []
