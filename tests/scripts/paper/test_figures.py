"""Each figure of the paper has a counterpart, and what is said of it is what the data say."""

import re
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.bandit.config import parse_settings
from asymreinforce.bandit.run import run_bandit
from asymreinforce.errors import InputError
from scripts.paper import draw as drawing
from scripts.paper.figures import FIGURES
from scripts.paper.markdown import BEGIN, END, write_docs
from scripts.paper.page import write_page
from scripts.paper.prediction import prediction_findings
from scripts.paper.prediction_figures import WayOutcome as WaysOutcome
from scripts.paper.sections import Drawn, Runs, draw_everything, read_runs
from tests.fixtures.made_up_experiment import MadeUpArm, make_experiment, sweep
from tests.report.test_browser import CHROMIUM, DARK, ask

ROOT = Path(__file__).parents[3]
BENCHES: dict[str, dict[str, Any]] = {
    "section_5_1": {"steps": 200, "baseline_reference": "behaviour_mean"},
    "policy_improvement": {"steps": 20, "iterations": 3, "baseline": [0.3, 0.5, 0.525]},
}
SMALL = {"baseline": [-0.3, -0.1, 0.0, 0.1], "seed": [43, 0], "arms": 12, "records": 20}
DRAWINGS = {
    "figure-1-1", "figure-1-2", "figure-2", "figure-3", "figure-4", "figure-5-left",
    "figure-5-right", "figure-7", "figure-8-1", "figure-8-2",
}  # fmt: skip
LARGEST = 100_000
"""Bytes that a figure may have as a file."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of runs with a made-up sweep, GRPO beside it, and two small benches."""
    root = tmp_path_factory.mktemp("runs")
    rivals = [MadeUpArm(0.0, seed, algorithm="grpo") for seed in (0, 1)]
    arms = sweep([-0.3, -0.1, 0.0, 0.1], seeds=(0, 1))
    make_experiment(root / "cups", arms + rivals, metric_files=1)
    grid = [
        MadeUpArm(baseline, 0, overrides=(("optim.lr", lr),))
        for baseline in (-0.1, 0.0, 0.1)
        for lr in (1e-4, 3e-4)
    ]
    make_experiment(root / "phase-diagrams", grid, metric_files=1)
    for experiment, settings in BENCHES.items():
        config = parse_settings({"experiment": experiment} | SMALL | settings)
        run_bandit(config, directory=root / "bandit" / experiment)
    return root


def runs_in(root: Path) -> Runs:
    return read_runs(
        sweep=root / "cups", bandit=root / "bandit", refresh=root / "refresh",
        diagrams=root / "phase-diagrams",
    )  # fmt: skip


@pytest.fixture(scope="module")
def drawn(root: Path) -> Drawn:
    return draw_everything(runs_in(root))


@pytest.fixture(scope="module")
def page(root: Path, drawn: Drawn) -> str:
    return write_page(drawn, root / "paper").read_text()


def test_every_figure_of_the_paper_has_a_section_with_setting_command_and_drawing(
    page: str,
) -> None:
    found = re.findall(r'<section id="(figure-[\w-]+)" class="bench">(.*?)</section>', page, re.S)
    assert [name for name, _ in found] == [figure.name for figure in FIGURES]
    assert [text.count("<figure") for _, text in found] == [2, 1, 1, 1, 1, 1, 1, 2]
    for _, text in found:
        assert "The paper&#39;s setting" in text or "The paper's setting" in text
        assert re.search(r"<code>(make results|asymrl bandit[^<]*)</code>", text)
        assert re.search(r'class="mark (right|wrong|beyond)"', text)
        assert "Not made yet" not in text


def test_each_drawing_is_a_small_file_beside_the_page(root: Path, page: str) -> None:
    made = {path.stem: path for path in (root / "paper").glob("*.svg")}
    assert made.keys() == DRAWINGS | {"diagram-learning-rate"}
    assert max(path.stat().st_size for path in made.values()) < LARGEST
    assert all(path.with_suffix(".png").is_file() for path in made.values())


def test_the_page_stands_alone_and_its_ids_are_unique(page: str) -> None:
    assert not re.findall(r"https?:|@import|url\((?!#)", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert all(target in ids for target in re.findall(r'href="#([\w-]+)"', page))


def test_what_was_not_run_is_named_with_its_command(page: str) -> None:
    assert "Baseline against refresh interval: <code>make refresh</code>" in page
    assert "Baseline against group size: <code>make phase-diagrams</code>" in page
    assert "against learning rate: <code>" not in page


def test_a_sweep_alone_leaves_the_bandits_figures_and_the_rival_to_be_made(
    tmp_path: Path,
) -> None:
    make_experiment(tmp_path / "cups", sweep([-0.1, 0.0], seeds=(0,)), metric_files=1)
    alone = draw_everything(runs_in(tmp_path))
    drawn = {section.figure.name: len(section.drawings) for section in alone.sections}
    assert {name for name, count in drawn.items() if not count} == {
        "figure-1", "figure-2", "figure-5-right", "figure-7",
    }  # fmt: skip
    assert write_page(alone, tmp_path).read_text().count("Not made yet") == 4


def test_nothing_at_all_is_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make figures"):
        draw_everything(runs_in(tmp_path))


def test_the_docs_keep_what_is_written_by_hand_and_get_what_is_made(
    drawn: Drawn, tmp_path: Path
) -> None:
    pages = tmp_path / "results"
    pages.mkdir()
    for name in ("paper-figures.md", "phase-diagrams.md"):
        (pages / name).write_text(f"# Mine\n\n{BEGIN}\nof an earlier run\n{END}\n\nalso mine\n")
    write_docs(drawn, tmp_path)
    figures = (pages / "paper-figures.md").read_text()
    assert figures.startswith("# Mine\n") and figures.endswith("\n\nalso mine\n")
    assert "of an earlier run" not in figures
    links = re.findall(r"\]\((\.\./figures/[\w-]+\.svg)\)", figures)
    assert {Path(link).stem for link in links} == DRAWINGS
    assert all((pages / link).is_file() for link in links)
    diagrams = (pages / "phase-diagrams.md").read_text()
    assert "| learning rate | −0.1 | 0 | +0.1 | safe region ends |" in diagrams
    write_docs(drawn, tmp_path)
    assert (pages / "paper-figures.md").read_text() == figures


def test_docs_without_marks_are_left_alone(drawn: Drawn, tmp_path: Path) -> None:
    pages = tmp_path / "results"
    pages.mkdir()
    (pages / "paper-figures.md").write_text("mine\n")
    with pytest.raises(InputError, match="has no lines"):
        write_docs(drawn, tmp_path)
    assert list(tmp_path.rglob("*")) == [pages, pages / "paper-figures.md"]


def test_the_script_ends_with_one_line_where_nothing_was_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drawing.main(["--runs", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: no run to draw a figure from") and told.err.count("\n") == 1


def test_the_script_writes_the_page_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = [MadeUpArm(0.0, 0, overrides=(("optim.lr", lr),)) for lr in (1e-4, 3e-4)]
    make_experiment(tmp_path / "phase-diagrams", grid, metric_files=1)
    assert drawing.main(["--runs", str(tmp_path), "--no-ways"]) == 0
    assert capsys.readouterr().out == f"figures: {tmp_path}/paper/index.html\n"
    assert (tmp_path / "paper" / "diagram-learning-rate.svg").is_file()


def outcome(baseline: float, predicted: float | None, worked: float) -> WaysOutcome:
    return WaysOutcome(baseline, 0, 0, 0, 0.2, predicted, worked, 0.4, None, 0.9)


def test_the_prediction_is_held_against_what_came() -> None:
    outcomes = [
        outcome(-0.3, 0.9, 0.88), outcome(-0.2, 1.0, 0.9), outcome(-0.1, None, 0.7),
        outcome(-0.1, 1.0, 0.95), outcome(0.0, 1.0, 0.02), outcome(0.1, 1.0, 0.1),
    ]  # fmt: skip
    assert [finding.text for finding in prediction_findings(outcomes)] == [
        "Below 0 the share of worked answers ends 5.0 points from what the theorem predicts of the "
        "rollouts, in the median of 3 arms; 10.0 at most.",
        "At 0 and above, where it predicts 100%, 2 to 10% of the answers are worked in the end: "
        "the network's collapse is not the bandit's, whose best way stays "
        "(docs/results/prediction.md).",
    ]
    near = prediction_findings([outcome(0.0, 1.0, 0.6)])
    assert near[0].text == (
        "At 0 and above, where it predicts 100%, 60% of the answers are worked in the end."
    )
    assert prediction_findings([outcome(0.2, None, 0.0)]) == []


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent; 'make test-page'")
def test_the_page_fits_a_telephone_in_the_dark_without_a_message(
    root: Path, page: str, tmp_path: Path
) -> None:
    script = """
    const inside = [...document.querySelectorAll("main *:not(.scroll *)")];
    return {
      wide: document.documentElement.scrollWidth,
      out: inside.filter((e) => e.getBoundingClientRect().right > innerWidth + 1).length,
      least: Math.min(...[...document.querySelectorAll(".drawing > div")].map((e) =>
        e.getBoundingClientRect().width / parseFloat(e.style.minWidth))),
      ground: getComputedStyle(document.body).backgroundColor,
    };
    """
    told = ask(root / "paper" / "index.html", tmp_path, script, DARK, width=390)
    assert (told["wide"], told["out"]) == (390, 0)
    assert told["least"] >= 1
    assert sum(map(int, re.findall(r"\d+", told["ground"])[:3])) < 100
