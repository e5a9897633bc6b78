"""The Python interface: what the commands do, from a program, and its page and notebook."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import asymrl
import pytest

from asymreinforce.errors import ConfigError, InputError
from asymreinforce.report.export import SUITE_COLUMNS
from tests.fixtures.commands import EMBEDDED, TINY
from tests.fixtures.commands import asymrl as command
from tests.fixtures.made_up_experiment import (
    BEHAVIOUR,
    SEEDS,
    STEPS,
    MadeUpArm,
    make_experiment,
    sweep,
)

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs/reference/python.md").read_text()
DOCUMENTED = re.findall(r"^\| `(\w+)` \| .+ \|$", DOC, re.MULTILINE)
"""The columns of settings, arms and suites that the page describes, in order."""
NOTEBOOK = ROOT / "docs/notebooks/first_sweep.ipynb"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "made-up"
    return make_experiment(place, sweep([-0.3, 0.0]), metric_files=1)


def test_a_configuration_is_composed_as_on_the_command_line(tmp_path: Path) -> None:
    config = asymrl.load("baseline=-0.2", f"runs_dir={tmp_path}", "algorithm=grpo")
    assert (config.baseline, config.runs_dir, config.algorithm.name) == (-0.2, tmp_path, "grpo")
    assert [arm.seed for arm in asymrl.load_arms("seed=0,1,2")] == [0, 1, 2]
    with pytest.raises(ConfigError, match="baselin"):
        asymrl.load("baselin=0")


def test_to_import_it_loads_nothing_heavy() -> None:
    program = "import asymrl, sys; print(sorted({'torch', 'pandas', 'hydra'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_results_are_those_of_the_page(directory: Path) -> None:
    table = asymrl.results(directory)
    assert list(table.columns) == DOCUMENTED[: len(table.columns)]
    assert list(table["setting"]) == ["−0.3", "0"]
    last = [100 * MadeUpArm(-0.3, seed).accuracy(STEPS[-1]) for seed in SEEDS]
    row = table.iloc[0]
    assert row["accuracy"] == pytest.approx(sum(last) / 3)
    assert (row["accuracy_lowest"], row["accuracy_highest"]) == pytest.approx(
        (min(last), max(last))
    )
    assert row["median"] == pytest.approx(sorted(last)[1])
    assert row["minus_mu"] == pytest.approx(sum(last) / 3 - 100 * BEHAVIOUR)
    assert (row["above_mu"], row["above_against"], row["against"]) == (1.0, 1.0, "0")
    assert asymrl.results(directory, against="-0.3")["against"].tolist() == ["−0.3"] * 2


def test_summary_and_curves_are_their_files(directory: Path) -> None:
    assert len(asymrl.summary(directory)) == 6
    curves = asymrl.curves(str(directory))
    assert len(curves) == 6 * 2 * len(STEPS)
    assert set(curves["split"]) == {"held_out", "train"}


def test_what_is_not_there_is_told_with_the_command_that_makes_it(tmp_path: Path) -> None:
    for read in (asymrl.summary, asymrl.curves, asymrl.results, asymrl.rollouts):
        with pytest.raises(InputError, match="run 'asymrl"):
            read(tmp_path)
    with pytest.raises(ConfigError, match="no such stage"):
        asymrl.run_stage("sleep", asymrl.load())  # type: ignore[arg-type]


def test_tables_without_pandas_say_how_to_install_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pip install pandas"):
        asymrl.summary(directory)


def test_the_report_prints_json_with_settings_and_arms(directory: Path) -> None:
    outcome = command("report", str(directory), "--json")
    told = json.loads(outcome.out)
    assert [row["setting"] for row in told["settings"]] == ["−0.3", "0"]
    assert len(told["arms"]) == 6
    assert [*told["settings"][0], *told["arms"][0], *SUITE_COLUMNS] == DOCUMENTED
    assert told["behaviour_accuracy"] == pytest.approx(100 * BEHAVIOUR)
    assert told["answer"].startswith("Baseline −0.3 ends highest")


def test_the_report_prints_csv_a_line_a_setting(directory: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(command("report", str(directory), "--csv").out)))
    assert [row["setting"] for row in rows] == ["−0.3", "0"]
    assert float(rows[0]["accuracy"]) == pytest.approx(asymrl.results(directory)["accuracy"][0])
    assert rows[1]["minus_against"] == ""


def test_a_quiet_report_prints_the_page_alone(directory: Path) -> None:
    outcome = command("report", str(directory), "--quiet")
    assert (outcome.out, outcome.err) == (f"{directory / 'report.html'}\n", "")
    refused = command("report", str(directory), "--quiet", "--json")
    assert refused.code == 1 and "--json and --quiet exclude each other" in refused.err


def test_the_page_of_docs_describes_every_function() -> None:
    functions = set(re.findall(r"^\| `(\w+)\(", DOC, re.MULTILINE))
    assert functions == set(asymrl.__all__)


def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    """Cut down to a test's size by what follows the cell that holds its settings."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    one_process = ("sweep.together=8", "sweep.workers=1")
    smaller = f"settings += {[*TINY, *EMBEDDED, *one_process, f'runs_dir={tmp_path}/runs']!r}"
    assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")
    first, *others = code
    program = "\n\n".join([first, smaller, *others, "print(len(results), len(judged))"])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"4 {48 * 4}"
    assert (tmp_path / "runs/notebook/report.html").exists()
