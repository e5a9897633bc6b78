"""The table at the end of a sweep, on terminals of several widths."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asymrl.tables import print_arms, print_summary

from asymreinforce.report.experiment import read_experiment
from tests.fixtures.made_up_experiment import MadeUpArm, make_experiment, sweep


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    place = tmp_path_factory.mktemp("runs") / "made-up"
    directory = make_experiment(place, sweep([-0.3, 0.0], seeds=[0]), metric_files=1)
    return pq.read_table(directory / "summary.parquet")


def printed(
    summary: pa.Table, width: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> list[str]:  # fmt: skip
    monkeypatch.setenv("COLUMNS", str(width))
    print_summary(summary)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (100, "baseline seed mu accuracy peak at step pass@2 in-sample verdict"),
        (80, "baseline seed mu accuracy peak at step pass@2 in-sample verdict"),
        (60, "baseline seed mu accuracy peak pass@2 verdict"),
        (40, "baseline seed accuracy verdict"),
    ],
)
def test_a_narrow_terminal_shows_the_columns_that_are_needed_most_and_cuts_none(
    width: int, titles: str, summary: pa.Table,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    lines = printed(summary, width, monkeypatch, capsys)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    (header,) = (line for line in lines if "baseline" in line)
    assert header.split() == titles.split()
    rows = [line for line in lines if "improved" in line or "collapsed" in line]
    assert len(rows) == 2


def test_what_else_arms_differ_in_has_a_column_of_its_own(
    summary: pa.Table, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row | {"overrides": json.dumps({"optim.lr": 1e-5})} for row in summary.to_pylist()]
    table = pa.Table.from_pylist(rows, schema=summary.schema)
    for width in (100, 60, 40):
        lines = printed(table, width, monkeypatch, capsys)
        assert max(map(len, lines)) <= width
        assert "optim.lr=1e-05" in "".join(lines)
        assert "accuracy" in "".join(lines)


def test_an_objective_without_a_baseline_shows_none_and_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = {"algorithm.name": "positives_only"}
    positives = MadeUpArm(0.0, 0, "positives_only", overrides=tuple(name.items()))
    arms = [*sweep([-0.1], seeds=[0]), positives]
    directory = make_experiment(tmp_path / "made-up", arms, metric_files=1)
    summary = pq.read_table(directory / "summary.parquet")
    (line,) = (n for n in printed(summary, 100, monkeypatch, capsys) if "positives_only" in n)
    assert line.split()[:2] == ["-", "0"]
    print_arms(read_experiment(directory).arms)
    lines = capsys.readouterr().out.splitlines()
    (line,) = (n for n in lines if "positives_only" in n)
    assert line.split()[:2] == ["-", "0"]
