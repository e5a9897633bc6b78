"""Prediction and outcome from a run directory, end to end on the tiny sweep."""

from pathlib import Path

import pytest

from asymreinforce.data import contracts
from asymreinforce.errors import InputError
from scripts.paper.contracts import WAYS
from scripts.paper.outcome import WAYS_PARQUET, measure_ways
from scripts.paper.prediction_figures import draw_ways, read_outcomes


def test_every_arm_has_its_prediction_beside_its_outcome(swept: Path) -> None:
    (directory,) = (path for path in swept.iterdir() if (path / "summary.parquet").exists())
    measure_ways(directory)
    rows = contracts.read_table(directory / WAYS_PARQUET, WAYS).to_pylist()
    summary = contracts.read_table(directory / "summary.parquet", contracts.SUMMARY).to_pylist()
    assert len(rows) == 3 * len(summary)
    for arm in summary:
        own = [row for row in rows if row["arm"] == arm["arm"]]
        assert sum(row["behaviour_share"] for row in own) == pytest.approx(1)
        assert sum(row["share"] for row in own) == pytest.approx(1)
        # the drifts of all ways sum to the mean advantage: minus the baseline
        assert sum(row["drift"] for row in own) == pytest.approx(-arm["baseline"], abs=1e-9)
        known = [row["predicted_share"] for row in own if row["predicted_share"] is not None]
        assert not known or sum(known) == pytest.approx(1)
        right = sum(row["share"] * (row["accuracy"] or 0.0) for row in own)
        assert right == pytest.approx(arm["accuracy"], abs=1e-9)


def test_the_figures_show_every_arm_and_are_the_same_for_the_same_table(swept: Path) -> None:
    (directory,) = (path for path in swept.iterdir() if (path / "summary.parquet").exists())
    measure_ways(directory)
    outcomes = read_outcomes(directory / WAYS_PARQUET)
    assert [(arm.baseline, arm.seed) for arm in outcomes] == [
        *((-0.1, 0), (-0.1, 1)),
        *((0.1, 0), (0.1, 1)),
    ]
    first, again = draw_ways(outcomes), draw_ways(outcomes)
    assert [drawing.name for drawing in first] == ["ways-share", "ways-accuracy"]
    assert [drawing.svg for drawing in first] == [drawing.svg for drawing in again]
    assert b"Theorem 4.2" in first[0].svg


def test_without_an_evaluated_arm_it_says_what_to_run(tmp_path: Path) -> None:
    rows: dict[str, list[str]] = {name: [] for name in contracts.CURVES.schema.names}
    table = contracts.make_table(contracts.CURVES, rows)
    contracts.write_table(tmp_path / "curves.parquet", contracts.CURVES, table, identity="")
    with pytest.raises(InputError, match="run 'asymrl sweep' first"):
        measure_ways(tmp_path)
