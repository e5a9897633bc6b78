"""Each figure of the paper has a counterpart, and what is said of it is what the data say."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.bandit.config import parse_settings
from asymreinforce.bandit.run import run_bandit
from asymreinforce.errors import InputError
from asymreinforce.report.bandit.words import AGREES, DIFFERS
from asymreinforce.report.groups import group_arms
from asymreinforce.report.records import ArmOutcome, Checkpoint, Experiment, ReportedArm
from scripts.paper import claims
from scripts.paper import draw as drawing
from scripts.paper.arms import step_of_fall, swept_groups
from scripts.paper.figures import FIGURES
from scripts.paper.markdown import BEGIN, END, write_docs
from scripts.paper.page import write_page
from scripts.paper.prediction import prediction_findings
from scripts.paper.prediction_figures import WayOutcome as WaysOutcome
from scripts.paper.sections import Drawn, Runs, draw_everything, read_runs
from tests.fixtures.made_up_experiment import MadeUpArm, empty, make_experiment, sweep
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

OF_THE_SWEEP: dict[str, Any] = {
    "algorithm": "asymre", "baseline_reference": "group_mean", "policy_seed": 0, "sampling_seed": 0,
    "settings": {}, "differing": {},
}  # fmt: skip

Course = Mapping[int, float]


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


def arm(baseline: float, seed: int, course: Course, **changes: Any) -> ReportedArm:
    """Return an arm whose accuracy, on both splits, and entropy by step are given."""
    last = max(course)
    peak = max(course, key=lambda step: course[step])
    is_down = course[last] < 0.5 * course[peak]
    outcome = empty(ArmOutcome)._replace(
        step=last, accuracy=course[last], behaviour_accuracy=course[0], peak_step=peak,
        peak_accuracy=course[peak], verdict="collapsed" if is_down else "improved",
    )  # fmt: skip
    checkpoints = tuple(
        empty(Checkpoint)._replace(
            split=split,
            step=step,
            accuracy=value,
            accuracy_se=0.0,
            k=2,
            entropy=2 * value,
        )
        for split in ("held_out", "train")
        for step, value in course.items()
    )
    return empty(ReportedArm)._replace(
        id=f"{baseline}-{seed}-{changes}", outcome=outcome, checkpoints=checkpoints, metrics={},
        **{**OF_THE_SWEEP, "baseline": baseline, "seed": seed, **changes},
    )  # fmt: skip


def experiment(arms: list[ReportedArm]) -> Experiment:
    ordered = sorted(arms, key=lambda arm: (arm.algorithm, arm.baseline or 0.0, arm.seed))
    return Experiment(Path("runs/x"), "x", tuple(ordered), {})


def told(claim: Any, arms: list[ReportedArm]) -> list[tuple[str, str]]:
    made = experiment(arms)
    return [(found.verdict, found.text) for found in claim(made, group_arms(made))]


AS_IN_THE_PAPER = [
    arm(-0.3, 0, {0: 0.4, 30: 0.5, 60: 0.7}),
    arm(-0.1, 0, {0: 0.4, 30: 0.6, 60: 0.9}),
    arm(0.0, 0, {0: 0.4, 30: 0.7, 60: 0.6, 90: 0.1}),
    arm(0.2, 0, {0: 0.4, 30: 0.6, 60: 0.2, 90: 0.1}),
]
OTHERWISE = [
    arm(-0.3, 0, {0: 0.4, 30: 0.7, 60: 0.9}),
    arm(-0.1, 0, {0: 0.4, 30: 0.6, 60: 0.1}),
    arm(0.0, 0, {0: 0.4, 30: 0.7, 60: 0.2, 90: 0.1}),
    arm(0.2, 0, {0: 0.4, 30: 0.6, 60: 0.6, 90: 0.1}),
    arm(0.3, 0, {0: 0.4, 30: 0.6, 60: 0.6, 90: 0.6}),
]


def test_a_sweep_like_the_papers_is_told_as_such() -> None:
    assert told(claims.held_out_accuracy, AS_IN_THE_PAPER) == [
        (AGREES, "Below 0 training is stable in the paper; here 0 of 2 arms collapsed."),
        (AGREES, "Below 0 the paper's accuracy rises faster towards 0; here held-out accuracy "
         "after 30 steps is 50.0% at −0.3 and 60.0% at −0.1; differences under 0.0 points are "
         "noise."),
        (AGREES, "At 0 and above accuracy collapses in the paper; here 2 of 2 arms collapsed."),
        (AGREES, "The paper's collapse comes earlier for larger baselines; here held-out accuracy "
         "first falls under half of its peak at step 90 at 0 and 60 at +0.2, on average over "
         "seeds."),
        (AGREES, "Of the baselines below 0, −0.1 ends highest: 70.0% at −0.3 and 90.0% at −0.1 at "
         "the last step."),
    ]  # fmt: skip


def test_a_sweep_that_does_otherwise_is_told_with_its_numbers() -> None:
    found = told(claims.held_out_accuracy, OTHERWISE)
    assert [verdict for verdict, _ in found] == [DIFFERS] * 5
    texts = [text for _, text in found]
    assert "here 1 of 2 arms collapsed" in texts[0]
    assert "70.0% at −0.3 and 60.0% at −0.1" in texts[1]
    assert "here 2 of 3 arms collapsed" in texts[2]
    assert "step 60 at 0 and 90 at +0.2, on" in texts[3]
    assert "−0.3 ends highest, and not −0.1, the nearest to 0" in texts[4]


def test_collapses_at_the_same_evaluated_step_are_no_order() -> None:
    tied = [*AS_IN_THE_PAPER, arm(0.3, 0, {0: 0.4, 30: 0.6, 60: 0.2, 90: 0.1})]
    verdict, text = told(claims.held_out_accuracy, tied)[3]
    assert verdict == DIFFERS
    assert "step 90 at 0, 60 at +0.2 and 60 at +0.3, on average over seeds, and evaluated" in text


def test_train_accuracy_is_read_from_training_prompts() -> None:
    changed = [
        arm_._replace(checkpoints=tuple(
            c._replace(accuracy=0.5) if c.split == "train" else c for c in arm_.checkpoints
        ))
        for arm_ in AS_IN_THE_PAPER
    ]  # fmt: skip
    speed = told(claims.train_accuracy, changed)[1]
    assert speed == (
        DIFFERS,
        "Below 0 the paper's accuracy rises faster towards 0; here train accuracy after 30 steps "
        "is 50.0% at −0.3 and 50.0% at −0.1; differences under 0.0 points are noise, so no order "
        "is to be seen.",
    )


def test_an_order_counts_only_beyond_the_noise_of_its_differences() -> None:
    def noisy(se: float) -> list[ReportedArm]:
        return [
            made._replace(checkpoints=tuple(c._replace(accuracy_se=se) for c in made.checkpoints))
            for made in AS_IN_THE_PAPER
        ]

    # 60 less 50 points; two standard errors of a difference are 2 sqrt(2) se
    assert told(claims.held_out_accuracy, noisy(0.03))[1] == (
        AGREES,
        "Below 0 the paper's accuracy rises faster towards 0; here held-out accuracy after 30 "
        "steps is 50.0% at −0.3 and 60.0% at −0.1; differences under 8.5 points are noise.",
    )
    assert told(claims.held_out_accuracy, noisy(0.04))[1][0] == DIFFERS


def test_seeds_that_collapse_are_counted_at_0_and_at_minus_0_1() -> None:
    stable, down = {0: 0.4, 30: 0.9}, {0: 0.4, 30: 0.6, 60: 0.1}
    like = [*(arm(-0.1, seed, stable) for seed in (0, 1)), *(arm(0.0, s, down) for s in (0, 1))]
    assert told(claims.every_seed, like) == [
        (AGREES, "At 0 the paper's 7 runs all collapse; here 2 of 2 do."),
        (AGREES, "At −0.1 the paper's 7 runs are stable; here 0 of 2 collapse, and they end at "
         "90.0% to 90.0%."),
    ]  # fmt: skip
    unlike = [arm(-0.1, 0, down), arm(-0.1, 1, stable), arm(0.0, 0, down), arm(0.0, 1, stable)]
    found = told(claims.every_seed, unlike)
    assert [verdict for verdict, _ in found] == [DIFFERS, DIFFERS]
    assert "here 1 of 2 do" in found[0][1] and "end at 10.0% to 90.0%" in found[1][1]


def test_the_written_rule_makes_a_collapse_of_an_arm_whose_verdict_is_stable() -> None:
    ended = arm(0.0, 0, {0: 0.4, 30: 0.39})
    assert ended.outcome
    by_rule = ended._replace(outcome=ended.outcome._replace(verdict="stable", collapse_step=20))
    assert told(claims.every_seed, [by_rule])[0][1].endswith("here 1 of 1 do.")


def test_the_rival_is_compared_on_the_seeds_that_both_have() -> None:
    own = [arm(-0.1, seed, {0: 0.4, 30: 0.6, 60: 0.8 + 0.01 * seed}) for seed in (0, 1)]
    rival = [arm(0.0, seed, {0: 0.4, 30: 0.5, 60: 0.5}, algorithm="grpo") for seed in (0, 1, 2)]
    higher, faster = told(claims.against_rival, own + rival)
    assert higher[0] == faster[0] == AGREES
    # differences 0.30 and 0.31: mean 0.305, half-width 12.706 x 0.005
    assert (
        "is +30.5 points (80.5% and 50.0%; 2 paired seeds, 95% interval +24.1 to +36.9)"
        in (higher[1])
    )
    assert faster[1].endswith("it is at 60.0% after 30 steps, GRPO at 50.0%.")
    # a seed that the rival has not is in neither mean, so that these differ by what is told
    more = [*own, arm(-0.1, 7, {0: 0.4, 30: 0.6, 60: 0.1})]
    assert "is +30.5 points (80.5% and 50.0%; 2" in told(claims.against_rival, more + rival)[0][1]
    slower = [arm(-0.1, 0, {0: 0.4, 30: 0.45, 60: 0.45})]
    assert [v for v, _ in told(claims.against_rival, slower + rival)] == [DIFFERS, DIFFERS]
    assert told(claims.against_rival, own) == []


def test_entropy_that_falls_and_rises_again_is_told() -> None:
    # entropy is twice the accuracy, in these arms
    falling = [arm(-0.1, 0, {0: 0.8, 30: 0.6, 60: 0.5}), arm(0.1, 0, {0: 0.8, 30: 0.3, 60: 0.2})]
    assert told(claims.entropy, falling) == [
        (AGREES, "In the paper entropy falls faster for larger baselines; here it goes, within 30 "
         "steps, from 1.60 nats a completion to 1.20 at −0.1 and 0.60 at +0.1."),
    ]  # fmt: skip
    rising = [arm(-0.1, 0, {0: 0.8, 30: 0.3, 60: 0.2}), arm(0.1, 0, {0: 0.8, 30: 0.6, 60: 0.9})]
    found = told(claims.entropy, rising)
    assert [verdict for verdict, _ in found] == [DIFFERS, DIFFERS]
    assert found[1][1] == (
        "It does not go on falling: by the last step it has risen again, from 1.20 to 1.80 at +0.1."
    )


def test_an_arm_falls_where_it_is_first_under_half_of_a_peak_before() -> None:
    assert step_of_fall({0: 0.4, 30: 0.8, 60: 0.41, 90: 0.39}) == 90
    assert step_of_fall({0: 0.1, 30: 0.3, 60: 0.8}) is None
    assert step_of_fall({}) is None


def test_the_sweep_is_the_settings_that_most_arms_have() -> None:
    usual = [arm(b, 0, {0: 0.4}, settings={"optim.lr": 1}) for b in (-0.1, 0.1)]
    other = arm(0.0, 0, {0: 0.4}, differing={"optim.lr": 2})
    token = arm(0.0, 0, {0: 0.4}, baseline_reference="zero")
    found = swept_groups(group_arms(experiment([*usual, other, token])))
    assert [of.baseline for of in found] == [-0.1, 0.1]


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
