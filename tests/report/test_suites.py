"""Benchmarks of a made-up experiment: means over seeds, mu apart, a curve where there is one."""

from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data import contracts
from asymreinforce.errors import InputError
from asymreinforce.report.figures.curve_panels import read_curves
from asymreinforce.report.read import read_report
from asymreinforce.report.suites import FILE, read_suite_rows
from asymreinforce.report.write import write_report
from tests.fixtures import made_up_experiment as made_up

STEPS = (0, 2, 4, 6)


def make_suites(directory: Path, *, name: str = "aime24", steps: tuple[int, ...] = STEPS) -> None:
    """Write rows in which an arm gains a point a step, one of seed 1 another half of a point."""
    rows: list[dict[str, Any]] = []
    for arm in made_up.sweep():
        for suite, is_main in (("cups", True), (name, False)):
            for step in steps:
                gain = step * (0.01 + 0.005 * (arm.seed == 1))
                rows.append(
                    made_up.names(arm)
                    | {"suite": suite, "is_main": is_main, "split": "held_out", "step": step}
                    | {"is_last": step == steps[-1], "prompts": 30, "k": 8, "ties": 0.1}
                    | {"accuracy": 0.25 + gain, "accuracy_se": 0.01, "majority": 0.3 + gain}
                    | {"pass_at_k": 0.5, "difference": gain, "difference_se": 0.01}
                    | {"length": 9.0, "truncated": 0.0}
                    | {"evaluation": f"evaluations/{suite}/{arm.id if step else 'mu'}-{step}"}
                )
    columns = {field: [row[field] for row in rows] for field in contracts.SUITES.schema.names}
    table = contracts.make_table(contracts.SUITES, columns)
    contracts.write_table(directory / FILE, contracts.SUITES, table, identity="")


def test_settings_are_means_over_seeds_and_mu_counts_once(tmp_path: Path) -> None:
    directory = made_up.make_experiment(tmp_path, made_up.sweep())
    make_suites(directory)
    results = read_report(directory).suites
    assert results
    assert [(b.name, b.is_main, b.k) for b in results.benchmarks] == [
        ("cups", True, 8),
        ("aime24", False, 8),
    ]
    mu, first, *others = results.lines
    assert (mu.name, mu.runs, mu.scores[1]) == ("µ", 1, (0.25, 0.3, 0.5, None))
    assert len(others) + 1 == len(made_up.BASELINES) and first.runs == len(made_up.SEEDS)
    gain = 6 * (0.01 + 0.005 / len(made_up.SEEDS))
    assert first.scores[1] == pytest.approx((0.25 + gain, 0.3 + gain, 0.5, gain))


@pytest.mark.parametrize(("steps", "is_drawn"), [(STEPS, True), ((0, 4, 6), False)])
def test_a_suite_has_a_curve_if_more_than_its_ends_were_evaluated(
    steps: tuple[int, ...], is_drawn: bool, tmp_path: Path
) -> None:
    directory = made_up.make_experiment(tmp_path, made_up.sweep())
    make_suites(directory, steps=steps)
    report = read_report(directory)
    drawn = {c.panel.name: c for c in read_curves(report.experiment, report.groups)}
    assert ("suite-aime24" in drawn, "suite-cups" in drawn) == (is_drawn, False)
    if is_drawn:
        assert drawn["suite-aime24"].bands[0].steps == STEPS
        assert drawn["suite-aime24"].bands[0].high[-1] == pytest.approx(0.25 + 6 * 0.015)


def test_the_page_has_the_table_of_benchmarks(tmp_path: Path) -> None:
    directory = made_up.make_experiment(tmp_path, made_up.sweep(baselines=(-0.1,)))
    make_suites(directory)
    page = write_report(directory).read_text()
    assert "main: cups, avg@8, %" in page and "aime24, avg@8, %" in page
    assert "maj 30.0, pass 50.0" in page


def test_a_name_that_no_suite_can_have_is_refused(tmp_path: Path) -> None:
    directory = made_up.make_experiment(tmp_path, made_up.sweep(baselines=(-0.1,)))
    make_suites(directory, name="../../etc")
    with pytest.raises(InputError, match="is not the name of a suite; evaluate again"):
        read_suite_rows(directory)
