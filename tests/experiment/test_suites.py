"""Suites beside the main evaluation, on the embedded default cut down: stages, tables, page, kills.

One suite is the cups of another seed, drawn otherwise; the other holds questions of a user's own.
"""

import json
import shutil
import sys
from pathlib import Path

import asymrl as api
import pytest

from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from tests.fixtures import kills as killing
from tests.fixtures.commands import IN_PROCESS, Outcome, asymrl, refused, tiny
from tests.fixtures.stored_files import read_payload as payload

MODULE = "suite_questions"
OWN = """
def questions(config, split):
    for n in range(6):
        yield {"question": f"{split} {n}?", "gold_answer": str(n % 5 + 1)}
"""
SWEEP = ("baseline=-0.1,0.1", "seed=0", "evaluation.train_prompts=0")
SUITES = (
    "evaluation.suites.cups-9.task={preset: cups, seed: 9, train: 0, validation: 0, held_out: 10}",
    "evaluation.suites.cups-9.sampling.samples_per_prompt=4",
    "evaluation.suites.cups-9.sampling.temperature=0.8",
    f"evaluation.suites.own.task={{preset: function, kind: '{MODULE}:questions', train: 0}}",
    "evaluation.suites.own.task.validation=0",
    "evaluation.suites.own.task.grader=final_answer",
    "evaluation.suites.own.prompts=5",
    "evaluation.suites.own.sampling.max_tokens=6",
    "evaluation.suites.own.checkpoints=all",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the user's module, importable."""
    place = tmp_path_factory.mktemp("suites")
    (place / f"{MODULE}.py").write_text(OWN)
    return place


@pytest.fixture
def importable(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(place))


@pytest.fixture(scope="module")
def without(place: Path) -> Path:
    """A sweep of two arms that has no suite."""
    outcome = tiny("sweep", place / "runs", *SWEEP, IN_PROCESS)
    assert outcome.code == 0, outcome.err
    return place / "runs"


@pytest.fixture(scope="module")
def evaluated(without: Path, place: Path) -> tuple[Path, Outcome]:
    """The same, with suites evaluated after."""
    runs_dir = Path(shutil.copytree(without, place / "evaluated"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        outcome = tiny("evaluate", runs_dir, "evaluation.train_prompts=0", *SUITES)
    assert outcome.code == 0, outcome.err
    return runs_dir, outcome


def suite_rows(runs_dir: Path) -> list[dict[str, object]]:
    path = runs_dir / "cups/suites.parquet"
    rows: list[dict[str, object]] = contracts.read_table(path, contracts.SUITES).to_pylist()
    return rows


def test_each_suite_has_a_directory_of_its_own_and_the_others_stay(
    without: Path, evaluated: tuple[Path, Outcome]
) -> None:
    before, after = (payload(place / "cups") for place in (without, evaluated[0]))
    beside = {"report.html", "suites.parquet"}
    kept = {name: content for name, content in before.items() if not name.startswith("prompts/")}
    assert {name: after[name] for name in kept} == kept
    new = {name.split("/")[0] for name in after.keys() - before.keys()}
    assert new - beside == {"evaluations", "prompts"}
    stores = [
        Store.open(plan.parent) for plan in (evaluated[0] / "cups/evaluations").glob("*/plan.json")
    ]
    drawn = {s.identity["sampling"]["samples_per_prompt"]: s for s in stores}
    lengths = sorted(store.identity["sampling"]["max_tokens"] for store in stores)
    assert (len(stores), lengths, max(drawn)) == (3, [6, 16, 16], 4)
    assert all(store.is_complete() for store in stores)


def test_every_arm_has_a_row_of_mu_and_of_its_ends_on_each_benchmark(
    evaluated: tuple[Path, Outcome],
) -> None:
    rows = suite_rows(evaluated[0])
    by_arm: dict[object, list[tuple[object, object]]] = {}
    for row in rows:
        by_arm.setdefault(row["arm"], []).append((row["suite"], row["step"]))
    assert len(by_arm) == 2
    for arm, seen in by_arm.items():
        manifest = json.loads((evaluated[0] / f"cups/train/{arm}/manifest.json").read_text())
        ends = sorted({0, manifest["facts"]["best_step"] or 0, 4})
        assert [step for suite, step in seen if suite == "cups-9"] == ends
        assert [step for suite, step in seen if suite == "own"] == [0, 2, 4]
        assert [step for suite, step in seen if suite == "cups"] == [0, 2, 4]
    sizes = {(row["suite"], row["is_main"], row["prompts"], row["k"]) for row in rows}
    assert sizes == {("cups", True, 12, 2), ("cups-9", False, 10, 4), ("own", False, 5, 2)}
    for row in rows:
        shares = [row[name] for name in ("accuracy", "majority", "pass_at_k")]
        accuracy, _, covered = (float(str(share)) for share in shares)
        assert 0 <= accuracy <= covered <= 1
        assert row["step"] or row["difference"] == row["difference_se"] == 0


def test_the_main_evaluation_s_rows_are_those_of_its_curves(
    evaluated: tuple[Path, Outcome],
) -> None:
    curves = contracts.read_table(evaluated[0] / "cups/curves.parquet", contracts.CURVES)
    known = {(row["arm"], row["step"]): row["accuracy"] for row in curves.to_pylist()}
    main = [row for row in suite_rows(evaluated[0]) if row["is_main"]]
    assert {(row["arm"], row["step"]): row["accuracy"] for row in main} == known


def test_again_there_is_nothing_to_do_and_without_suites_the_table_stays(
    evaluated: tuple[Path, Outcome], importable: None
) -> None:
    runs_dir, first = evaluated
    before = payload(runs_dir / "cups")
    again = tiny("evaluate", runs_dir, "evaluation.train_prompts=0", *SUITES)
    assert "complete, nothing to do" in again.err and again.out == first.out
    assert tiny("evaluate", runs_dir, "evaluation.train_prompts=0").code == 0
    assert payload(runs_dir / "cups") == before


def test_the_terminal_the_page_and_the_exports_show_every_benchmark(
    evaluated: tuple[Path, Outcome], tmp_path: Path
) -> None:
    runs_dir, outcome = evaluated
    for words in ("benchmark", "main: cups", "cups-9", "own", "avg@k", "maj@k", "pass@k"):
        assert words in outcome.out
    cups = Path(shutil.copytree(runs_dir / "cups", tmp_path / "cups"))
    told = json.loads(asymrl("report", str(cups), "--json").out)
    assert len(told["suites"]) == len(suite_rows(runs_dir))
    row = told["settings"][0]
    line = [one for one in told["suites"] if one["suite"] == "cups-9" and one["is_last"]]
    expected = {one["baseline"]: one["avg_at_k"] for one in line}
    assert row["cups-9.avg_at_k"] == pytest.approx(expected[row["baseline"]])
    header = asymrl("report", str(cups), "--csv").out.splitlines()[0]
    assert header.endswith("own.avg_at_k,own.maj_at_k,own.pass_at_k")
    page = (cups / "report.html").read_text()
    assert '<section id="suites">' in page and "cups-9, avg@4, %" in page
    assert len(api.suites(cups)) == len(told["suites"])
    assert "Benchmarks" in page and "maj " in page


def test_a_page_without_suites_says_nothing_of_them(without: Path) -> None:
    page = (without / "cups/report.html").read_text()
    assert "Benchmarks" not in page
    assert not (without / "cups/suites.parquet").exists()


def evaluate_in_a_child(runs_dir: str, place: str) -> None:
    sys.path.insert(0, place)
    outcome = tiny("evaluate", Path(runs_dir), "evaluation.train_prompts=0", *SUITES)
    assert outcome.code == 0, outcome.err


def test_killed_on_the_way_and_run_again_it_leaves_the_same_payload(
    without: Path, evaluated: tuple[Path, Outcome], place: Path, tmp_path: Path
) -> None:
    whole = Path(shutil.copytree(without, tmp_path / "whole"))
    arguments = (evaluate_in_a_child, str(whole), str(place))
    passed = killing.failpoints(tmp_path / "log", *arguments)
    killed = Path(shutil.copytree(without, tmp_path / "killed"))
    step, kills = len(passed) // 5, 0
    while kills < 12:
        code = killing.run(evaluate_in_a_child, str(killed), str(place), ASYMRL_FAILPOINT=str(step))
        if code == 0:
            break
        assert code == -9
        kills += 1
    assert kills >= 3
    assert payload(killed / "cups") == payload(whole / "cups") == payload(evaluated[0] / "cups")


ODD = {
    '{"question": "1?"}': "evaluation.suites.odd.task.columns.answer=question",
    '{"question": "1?", "answer": "seven"}': "leave the suite out of evaluation.suites",
}
"""Lines of a file, and what is advised: no answers at all, and none that the grader can use."""


@pytest.mark.parametrize("line", ODD)
def test_a_suite_without_gold_answers_is_refused_before_rollouts_are_made(
    line: str, without: Path, tmp_path: Path
) -> None:
    own = tmp_path / "odd.jsonl"
    own.write_text("\n".join([line, line.replace("1?", "2?"), line.replace("1?", "3?")]))
    runs_dir = Path(shutil.copytree(without, tmp_path / "runs"))
    shutil.rmtree(runs_dir / "cups/rollouts")
    task = f"{{preset: file, path: {own}, held_out: 1, grader: multiple_choice}}"
    outcome = tiny("sweep", runs_dir, *SWEEP, f"evaluation.suites.odd.task={task}")
    refused(outcome, "evaluation.suites.odd: ", ODD[line])
    assert not (runs_dir / "cups/rollouts").exists()


def test_suites_beside_no_evaluation_are_refused(without: Path, tmp_path: Path) -> None:
    runs_dir = Path(shutil.copytree(without, tmp_path / "runs"))
    outcome = tiny("evaluate", runs_dir, "evaluation.prompts=0", *SUITES)
    refused(outcome, "evaluation.prompts=0", "evaluation.suites are evaluated only in addition")


def test_a_suite_is_the_evaluation_of_an_experiment_of_that_task() -> None:
    config = api.load("evaluation.suites.more.task=cups")
    own = config.of_suite("more")
    assert own.evaluated_splits == ("held_out",)
    assert own.graded_questions == {"held_out": None}
    assert own.evaluation.suites == {}
