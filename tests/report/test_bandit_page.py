import os
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from asymrl.bandit import bandit_job
from omegaconf import OmegaConf

from asymreinforce.bandit.config import parse_settings
from asymreinforce.bandit.run import run_bandit
from asymreinforce.errors import InputError
from asymreinforce.report.bandit.bench import Bench
from asymreinforce.report.bandit.findings import bench_findings
from asymreinforce.report.bandit.page import find_benches
from asymreinforce.report.bandit.words import AGREES, DIFFERS
from asymreinforce.report.figures.canvas import CHARACTER_WIDTH
from asymreinforce.report.figures.colours import PALETTE, signed_style
from asymreinforce.report.figures.files import COLOUR
from asymreinforce.report.write import write_report

SMALL: dict[str, dict[str, Any]] = {
    "section_5_1": {"steps": 5000, "baseline_reference": "behaviour_mean"},
    "policy_improvement": {"steps": 50, "iterations": 4, "baseline": [0.3, 0.5, 0.525, 0.7]},
    "phase_diagram": {"steps": [5, 50], "iterations": 3, "baseline_reference": "initial_mean"},
    "stale_mu": {
        "steps": [5, 500],
        "iterations": None,
        "total_steps": 500,
        "baseline_reference": "behaviour_mean",
    },
    "sampled_groups": {
        "steps": 50,
        "samples": 4,
        "group_size": [2, 4],
        "baseline_reference": "group_mean",
        "sampling_seed": [0, 1],
    },
    "rival_updates": {
        "steps": 5,
        "iterations": 3,
        "samples": [0, 4],
        "update": ["asymre", "importance_weighted", "clipped"],
        "baseline_reference": "initial_mean",
    },
}
GRID = {"baseline": [-0.3, -0.1, -0.05, 0.0, 0.1], "seed": [43, 0, 1], "arms": 12, "records": 20}


def run(root: Path, experiment: str, **changes: Any) -> Path:
    settings = {"experiment": experiment} | GRID | SMALL[experiment] | changes
    return run_bandit(parse_settings(settings), directory=root / experiment).directory


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", page)).split())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs") / "bandit"
    for experiment in SMALL:
        run(root, experiment)
    return root


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return write_report(root).read_text()


@pytest.mark.parametrize(
    "title",
    [
        "Expected reward against step (Fig. 1)",
        "Entropy against step (Fig. 7)",
        "Policy improvement (Fig. 2)",
    ],
)
def test_the_labels_of_lines_are_whole_on_a_phone(page: str, title: str) -> None:
    """The first panel and its labels fit the 336 pixels of a window of 390, a pixel a point."""
    drawing = page.split(f'aria-label="{title}"')[1].split("</svg>")[0]
    label = re.compile(r'text-anchor: start[^>]* x="([\d.]+)"[^>]*>([−+.\d]+)</text>')
    labels = [(float(x), told) for x, told in label.findall(drawing)]
    ends = [x + 72 * CHARACTER_WIDTH * len(told) for x, told in labels if x < 336]
    assert len(ends) >= 4
    assert max(ends) <= 336


def test_the_page_has_a_section_a_preset_with_question_findings_figures_and_table(
    page: str,
) -> None:
    sections = re.findall(r'<section id="(\w+)" class="bench">(.*?)</section>', page, re.DOTALL)
    assert [name for name, _ in sections] == list(SMALL)
    assert [text.count("<figure") for _, text in sections] == [3, 1, 1, 1, 1, 1]
    for _, text in sections:
        assert text.count('<p class="asks">') == 1
        assert text.count('<table class="sortable">') == 1
        assert re.search(r'class="mark (right|wrong|beyond)"', text)


def test_the_page_stands_alone_and_lets_only_its_own_script_run(page: str) -> None:
    assert not re.findall(r"https?:|@import|url\((?!#)", page)
    links = re.findall(r'\b(?:src|href)="([^"]{1,24})', page)
    assert {link.split(",")[0] for link in links if link[0] != "#"} == {
        "data:", "data:image/png;base64",
    }  # fmt: skip
    assert "default-src 'none'" in page and "script-src 'sha256-" in page


def test_ids_are_unique_over_all_figures(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'="#([\w-]+)"|url\(#([\w-]+)\)', page)) != set()
    for pair in re.findall(r'="#([\w-]+)"|url\(#([\w-]+)\)', page):
        assert "".join(pair) in ids


def test_every_colour_of_a_figure_has_a_dark_counterpart(page: str) -> None:
    figures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert COLOUR.findall(figures) == []
    used = set(re.findall(r"var\(--(c-\w+)\)", figures))
    dark = page.split("prefers-color-scheme: dark){:root{")[1].split("}")[0]
    assert used == set(re.findall(r"--(c-\w+):#", dark))


def test_colours_between_the_ends_of_a_ramp_belong_to_the_palette() -> None:
    for count in range(1, 40):
        offsets = [sign * rank for rank in range(1, count + 1) for sign in (-1, 1)]
        assert {signed_style(o, offsets).colour for o in offsets} <= set(PALETTE)
    assert len({colour.light for colour in PALETTE}) == len(PALETTE)


def test_the_table_of_section_5_1_shows_the_chains_of_its_first_draw(page: str) -> None:
    table = page.split('<table class="sortable">')[1].split("</table>")[0]
    rows = re.findall(r"<tr>\s*<td.*?</tr>", table, re.DOTALL)
    assert [re.findall(r"<td[^>]*>([^<]*)<", row)[0] for row in rows] == [
        "−0.3", "−0.1", "−0.05", "0", "0.1",
    ]  # fmt: skip


def test_the_table_of_policy_improvement_sets_rewards_beside_iterated_exact_limits(
    page: str,
) -> None:
    table = page.split('<table class="sortable">')[2].split("</table>")[0]
    titles = re.findall(r'<button type="button">(.*?)</button>', table)
    assert titles[2:4] == ["reward", "exact limits, iterated"]
    cells = [re.findall(r"<td[^>]*>([^<]*)<", row) for row in table.split("<tr>")[2:]]
    reward, exact = (float(cell) for cell in cells[0][2:4])
    assert abs(reward - exact) < 0.2
    assert cells[-1][3] == "—"


def chain(baseline: float, **changes: Any) -> dict[str, Any]:
    ended = {"reward": 0.9, "limit_support": 2, "total_variation": 1e-5, "top_probability": 0.6}
    settings = {"update": "asymre", "lr": 1.0, "steps": 9, "samples": 0, "group_size": None}
    return {
        "chain": round(1000 * baseline), "seed": 0, "sampling_seed": 0, "baseline": baseline,
        "offset": baseline, "value": 0.5 + baseline, "best_reward": 1.0,
    } | settings | ended | changes  # fmt: skip


def told(chains: list[dict[str, Any]]) -> list[tuple[str, str]]:
    traces = {c["chain"]: [{"step": 3, "entropy": 1 - c["baseline"]}] for c in chains}
    return [(f.verdict, f.text) for f in bench_findings(Bench(chains, traces, []), "section_5_1")]


def test_findings_that_hold_are_told_as_in_the_paper() -> None:
    assert told([chain(-0.2), chain(-0.1), chain(0.1, top_probability=1.0)]) == [
        (AGREES, "Theorem 4.2's closed form holds within a total variation of 0.001 for all 2 "
         "chains with V < V^µ; the largest distance is 1.0e−5."),
        (AGREES, "The limit's support shrinks towards V^µ: 2 arms at V − V^µ = −0.2, 2 arms at "
         "−0.1."),
        (AGREES, "Above V^µ, a single arm remains in the chain."),
        (AGREES, "Entropy falls faster for larger V: after 3 steps it is 1.20 nats at V − V^µ = "
         "−0.2 and 0.90 at +0.1."),
    ]  # fmt: skip


def test_findings_that_do_not_hold_are_told_as_not_in_the_paper() -> None:
    chains = [chain(-0.2, total_variation=0.25), chain(-0.1, limit_support=3), chain(0.1)]
    found = told(chains)
    assert [verdict for verdict, _ in found[:3]] == [DIFFERS] * 3
    assert "1 of 2 chains with V < V^µ" in found[0][1] and "2.5e−1" in found[0][1]
    assert "remains in 0 of 1 chains" in found[2][1]
    peak = told([chain(-0.2, reward=0.95), chain(-0.1, reward=0.9)])[-1]
    assert peak[0] == DIFFERS
    assert "highest, 0.950, at V − V^µ = −0.2 and 0.900 at −0.1" in peak[1]


def test_of_two_benches_of_a_preset_the_one_that_was_run_last_is_shown(tmp_path: Path) -> None:
    first = run(tmp_path, "policy_improvement")
    other = run(tmp_path, "policy_improvement", seed=[5])
    os.utime(first / "manifest.json", (1, 1))
    assert find_benches(tmp_path)["policy_improvement"].directory == other
    assert "Rewards of seed 5" in write_report(tmp_path).read_text()
    os.utime(other / "manifest.json", (0, 0))
    assert find_benches(tmp_path)["policy_improvement"].directory == first


def test_an_unfinished_bench_is_left_out_and_named_as_missing(tmp_path: Path) -> None:
    done = run(tmp_path, "policy_improvement")
    (run(tmp_path, "stale_mu") / "manifest.json").unlink()
    text = words(write_report(tmp_path).read_text())
    assert "asymrl bandit experiment=stale_mu" in text
    assert f"Settings of policy_improvement/{done.name}" in text
    (done / "manifest.json").unlink()
    with pytest.raises(InputError, match="run 'asymrl bandit' to the end"):
        write_report(tmp_path)


def test_a_damaged_table_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = run(tmp_path, "policy_improvement") / "traces.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"traces\.parquet: damaged"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_one_bench_can_be_reported_by_itself(root: Path) -> None:
    (directory,) = (path for path in (root / "rival_updates").iterdir() if path.is_dir())
    text = write_report(directory).read_text()
    (directory / "report.html").unlink()
    assert text.count('class="bench"') == 1 and '<section id="rival_updates"' in text


def test_the_same_tables_give_the_same_page(root: Path, page: str) -> None:
    assert write_report(root).read_text() == page


def test_the_command_writes_the_page_of_all_benches_and_prints_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"experiment": "policy_improvement"} | GRID | SMALL["policy_improvement"]
    place = {"runs_dir": str(tmp_path), "directory": f"{tmp_path}/bandit/policy_improvement"}
    bandit_job(OmegaConf.create(settings | place))
    assert f"report: {tmp_path}/bandit/report.html" in capsys.readouterr().out
    assert '<section id="policy_improvement"' in (tmp_path / "bandit/report.html").read_text()
    bandit_job(OmegaConf.create(settings | {"directory": str(tmp_path / "else"), "runs_dir": "no"}))
    assert len(list((tmp_path / "else").glob("*/report.html"))) == 1
    assert not (tmp_path / "report.html").exists()
