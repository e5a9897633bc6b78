from pathlib import Path
from typing import Any

import pytest

from asymreinforce.config.settings import flatten_settings
from asymreinforce.data import files
from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.figures.canvas import MOST_LABELS, EndLabel, choose_evenly, spread_apart
from asymreinforce.report.figures.colours import (
    DASHED,
    NEGATIVE,
    POSITIVE,
    SOLID,
    SURFACE,
    WITHOUT_BASELINE,
    ZERO,
    group_styles,
)
from asymreinforce.report.groups import LONGEST_LINE, ArmGroup, group_arms, mean_band, signed_text
from asymreinforce.report.page.cells import Cell
from asymreinforce.report.records import SeriesPoint
from tests.fixtures.made_up_experiment import MadeUpArm, make_experiment, sweep


def group_at(baseline: float) -> ArmGroup:
    return ArmGroup("asymre", "group_mean", baseline, (), ())


def test_a_band_is_the_mean_the_lowest_and_the_highest_seed_at_each_step() -> None:
    found = mean_band(
        [
            (SeriesPoint(0, 1.0), SeriesPoint(10, 2.0)),
            (SeriesPoint(0, 3.0), SeriesPoint(10, 7.0), SeriesPoint(20, 5.0)),
        ]
    )
    assert found == ((0, 10, 20), (2.0, 4.5, 5.0), (1.0, 2.0, 5.0), (3.0, 7.0, 5.0))


def test_a_long_line_is_thinned_and_keeps_its_last_step() -> None:
    found = mean_band([tuple(SeriesPoint(step, float(step)) for step in range(10_001))])
    assert len(found.steps) <= LONGEST_LINE
    assert found.steps[-1] == 10_000 and found.mean[-1] == 10_000.0


def test_labels_that_would_overlap_are_moved_apart_in_their_order() -> None:
    assert spread_apart([0.5, 0.5, 0.1], gap=0.1) == pytest.approx([0.5, 0.6, 0.1])
    assert spread_apart([1.0, 0.99, 0.98], gap=0.1) == pytest.approx([1.0, 0.9, 0.8])
    assert spread_apart([0.9] * 3, gap=0.6) == pytest.approx([0.0, 0.6, 1.2])


def test_of_too_many_labels_twelve_stay_with_the_first_and_the_last() -> None:
    labels = [EndLabel(float(i), str(i), "#000000") for i in range(100)]
    chosen = choose_evenly(labels, MOST_LABELS)
    assert len(chosen) == 12
    assert (chosen[0].text, chosen[-1].text) == ("0", "99")


def test_nearest_to_zero_takes_the_near_end_of_its_ramp_on_either_side() -> None:
    found = group_styles([group_at(value) for value in (-0.5, -0.1, 0.0, 0.1, 0.3)])
    assert [style.colour for style in found] == [
        NEGATIVE[1], NEGATIVE[0], ZERO, POSITIVE[0], POSITIVE[1],
    ]  # fmt: skip
    assert found[0].dashes == SOLID and found[-1].dashes == DASHED


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_line_has_a_contrast_of_three_to_one_with_the_surface() -> None:
    many = [group_at(value / 10) for value in range(-10, 11)]
    colours = [style.colour for style in group_styles(many)] + list(WITHOUT_BASELINE)
    assert min(contrast(colour.light, SURFACE.light) for colour in colours) >= 3
    assert min(contrast(colour.dark, SURFACE.dark) for colour in colours) >= 3


def test_a_baseline_is_written_with_its_sign() -> None:
    assert [signed_text(value) for value in (-0.1, 0.0, -0.0, 0.3)] == ["−0.1", "0", "0", "+0.3"]


def test_settings_are_flattened_to_dotted_names() -> None:
    nested = {"a": {"b": 1, "c": {"d": [2]}}, "e": {}}
    assert flatten_settings(nested) == {"a.b": 1, "a.c.d": [2], "e": {}}


def test_a_cell_sorts_by_its_number_and_not_by_its_text() -> None:
    cells = [Cell("−13.3 ± 2.0", -13.3), Cell("+9.9 ± 2.0", 9.9)]
    assert sorted(cells, key=lambda cell: cell.value or 0)[0].text == "−13.3 ± 2.0"


def with_settings(directory: Path, arm: MadeUpArm, **settings: Any) -> None:
    """Add sections to an arm's settings."""
    path = directory / "train" / arm.id / "config.json"
    files.publish_json(path, files.read_json(path) | settings)


def test_where_seeds_were_trained_and_judged_makes_no_other_group(tmp_path: Path) -> None:
    """Of 3 seeds one was trained by 8 processes, one was scored on Ray: one group of 3."""
    arms = sweep([-0.1])
    make_experiment(tmp_path, arms)
    everywhere = {"device": "cuda", "precision": "bfloat16"}
    with_settings(tmp_path, arms[0], train={**everywhere, "processes": 1}, ray={"scorers": 0})
    with_settings(tmp_path, arms[1], train={**everywhere, "processes": 8}, ray={"scorers": 0})
    with_settings(tmp_path, arms[2], train={**everywhere, "processes": 1}, ray={"scorers": 4})
    (seeds,) = group_arms(read_experiment(tmp_path))
    assert len(seeds.arms) == 3


def test_an_arm_without_baseline_that_was_trained_twice_is_reported_once(tmp_path: Path) -> None:
    arms = [MadeUpArm(baseline, 0, algorithm="positives_only") for baseline in (-0.1, 0.1)]
    arms.append(MadeUpArm(-0.1, 1, algorithm="positives_only"))
    make_experiment(tmp_path, arms)
    (seeds,) = group_arms(read_experiment(tmp_path))
    assert sorted(arm.seed for arm in seeds.arms) == [0, 1]
