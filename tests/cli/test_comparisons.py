"""What `asymrl report` prints of gains over mu."""

from pathlib import Path

import pytest

from cli.tables import print_comparisons
from tests.analysis.made_up import make_experiment, sweep


def test_gains_come_with_their_interval_and_with_what_varied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparisons(make_experiment(tmp_path, sweep((-0.3, 0.1))))
    lines = capsys.readouterr().out.splitlines()
    below, above = (line.split() for line in lines if line.strip().startswith(("−0.3", "+0.1")))
    assert below[1] == "3"
    assert 52 < float(below[2]) < 59  # 96% against 40.5%, and noise of 2 points
    assert float(below[3]) < float(below[2]) < float(below[5])
    assert below[-2:] == ["data", "order"]
    assert -22 < float(above[2]) < -17


def test_single_seeds_print_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_comparisons(make_experiment(tmp_path, sweep((-0.3, 0.1), seeds=(0,))))
    assert capsys.readouterr().out == ""
