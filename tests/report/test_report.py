import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.data import contracts
from asymreinforce.errors import InputError
from asymreinforce.report.write import is_current, write_report
from tests.fixtures.made_up_experiment import (
    BASELINES,
    SEEDS,
    MadeUpArm,
    make_curves,
    make_experiment,
    make_prompts,
    make_summary,
    make_training,
    sweep,
)

FIGURES = {
    "phase-transition", "coverage", "accuracy", "train-accuracy", "pass-at-k", "distinct-answers",
    "entropy", "token-entropy", "logp-correct", "logp-incorrect", "kl", "ess",
}  # fmt: skip


class Elements(HTMLParser):
    """The tags of a page, and its text outside of style and script."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.text += data


def page_of(directory: Path) -> str:
    return write_report(directory).read_text()


def arms_table(page: str) -> str:
    return page.split('aria-label="Table of arms"')[1].split("</table>")[0]


def legend_of(page: str) -> str:
    return page.split('<div class="legend"')[1].split("</div>")[0]


def data_of(page: str) -> Any:
    return json.loads(page.split('id="curve-data">')[1].split("</script>")[0])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = sweep() + [MadeUpArm(0.0, seed, algorithm="positives_only") for seed in SEEDS]
    return make_experiment(tmp_path_factory.mktemp("runs") / "made-up", arms)


@pytest.fixture(scope="module")
def page(directory: Path) -> str:
    return page_of(directory)


def test_the_report_has_every_figure_as_svg_and_png(directory: Path, page: str) -> None:
    found = {path.name for path in (directory / "figures").iterdir()}
    assert found == {f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")}
    for name in FIGURES:
        assert (directory / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert f'id="title-{name}"' in page
    drawn = [panel["name"] for panel in data_of(page)["panels"]]
    assert {*drawn, "phase-transition", "coverage"} == FIGURES


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    assert "http:" not in page and "https:" not in page and "@import" not in page
    for _, attributes in Elements(page).tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#")[0] == "#" or attributes[name] == "data:,"


def test_ids_of_the_page_are_unique_and_every_reference_has_its_target(page: str) -> None:
    ids = [attributes["id"] for _, attributes in Elements(page).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)) != set()
    for pair in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page):
        assert "".join(pair) in ids


def test_the_findings_count_the_arms_on_each_side_of_the_critical_value(page: str) -> None:
    text = Elements(page).text
    assert "The behaviour policy µ answers 40.5% correctly." in text
    assert "Highest at the last step: baseline −0.3" in text
    assert "Below 0, all 12 arms improved." in text
    assert "At 0, all 3 arms collapsed." in text
    assert "Above 0, all 9 arms collapsed." in text


def test_the_table_has_a_row_an_arm_and_says_each_verdict_in_a_word(page: str) -> None:
    table = arms_table(page)
    assert table.count("<tr>") == 1 + 27
    assert table.count("↑ improved") == 15
    assert table.count("↓ collapsed") == 12
    assert "collapsed at step" in table and table.count('<td data-value="180">180<') == 12


def test_the_same_files_give_the_same_bytes(directory: Path, page: str) -> None:
    paths = [directory / "report.html", *sorted((directory / "figures").iterdir())]
    before = [path.read_bytes() for path in paths]
    write_report(directory)
    assert [path.read_bytes() for path in paths] == before


def test_every_colour_of_a_figure_follows_the_theme(page: str) -> None:
    figures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert re.findall(r"#[0-9a-f]{6}\b", figures) == []
    used = set(re.findall(r"var\((--c-[0-9a-f]{6})\)", figures))
    light, dark = re.findall(r":root\{(--c-.*?)\}", page)
    for theme in (light, dark):
        assert used <= {item.split(":")[0] for item in theme.split(";")}


def test_an_absent_or_empty_directory_says_which_command_to_run(tmp_path: Path) -> None:
    for directory in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match=f"run 'asymrl sweep name={directory.name} runs_dir="):
            write_report(directory)
    assert list(tmp_path.iterdir()) == []


def test_prompts_without_a_trained_arm_are_nothing_to_report(tmp_path: Path) -> None:
    make_prompts(tmp_path)
    with pytest.raises(InputError, match="no trained arm"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_arms_without_evaluations_are_reported_by_their_metrics(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep(seeds=[0]), evaluated=False, summarised=False)
    page = page_of(tmp_path)
    assert "No arm is evaluated yet" in page
    assert Elements(page).text.count("not evaluated") == 8
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {
        "token-entropy", "logp-correct", "logp-incorrect", "kl", "ess",
    }  # fmt: skip


def test_curves_without_a_summary_give_the_picture_but_no_verdict(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3, 0.3]), summarised=False)
    page = page_of(tmp_path)
    assert (tmp_path / "figures" / "phase-transition.svg").exists()
    assert "all 3 arms" not in page
    assert arms_table(page).count("no verdict yet") == 2 * 6  # as its class and as its text


def test_a_summary_alone_is_reported(tmp_path: Path) -> None:
    make_summary(tmp_path, sweep([-0.3, 0.3]))
    page = page_of(tmp_path)
    assert "Below 0, all 3 arms improved." in page
    assert "No resolved configuration" in page
    assert '<section id="samples">' not in page


def test_a_failed_arm_is_named_with_its_error_and_the_end_of_its_log(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3, 0.3]))
    failed = MadeUpArm(0.4, 0)
    make_training(tmp_path, failed)
    failure = {"error": "step 41: no finite <b>gradient</b>", "log": "x" * 5000 + " loss nan"}
    (tmp_path / "train" / failed.id / "failure.json").write_text(json.dumps(failure))
    page = page_of(tmp_path)
    text = Elements(page).text
    assert "baseline +0.4, seed 0" in text
    assert "step 41: no finite <b>gradient</b>" in text
    assert "x" * 1991 + " loss nan" in text and "x" * 1992 not in text
    assert "1 of 7 arms failed" in text
    assert "Above 0, of 4 arms: 3 collapsed, 1 failed." in text


def test_a_failed_arm_that_has_no_plan_yet_is_named_too(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3]))
    place = tmp_path / "train" / "0123456789abcdef"
    place.mkdir()
    (place / "failure.json").write_text('{"error": "optim.lr is too large", "log": ""}')
    assert "optim.lr is too large" in page_of(tmp_path)


def test_settings_that_differ_are_columns_and_part_their_groups(tmp_path: Path) -> None:
    arms = [
        MadeUpArm(baseline, seed, overrides=(("optim.lr", rate),))
        for baseline in (-0.3, 0.3) for seed in (0, 1) for rate in (1e-4, 1e-3)
    ]  # fmt: skip
    make_experiment(tmp_path, arms)
    page = page_of(tmp_path)
    assert '<button type="button">optim.lr</button>' in page
    legend = legend_of(page)
    assert legend.count("data-group") == 4
    assert "−0.3, lr=0.001" in legend
    shared = page.split('<table class="settings">')[1]
    assert "sampling.samples_per_prompt" in shared and "optim.lr" not in shared


def test_the_baseline_of_an_algorithm_without_one_parts_no_group(tmp_path: Path) -> None:
    arms = [MadeUpArm(baseline, 0, algorithm="positives_only") for baseline in (-0.1, 0.2)]
    make_experiment(tmp_path, [*arms, *sweep([-0.3, 0.3])])
    assert legend_of(page_of(tmp_path)).count("positives only") == 1


def test_reference_zero_marks_the_mean_reward_of_the_behaviour_policy(tmp_path: Path) -> None:
    make_experiment(tmp_path, [MadeUpArm(value, 0, reference="zero") for value in (-0.5, 0.2)])
    # 0.405 * 1 + 0.595 * -1 = -0.19
    assert "the dashed vertical line is at V = −0.19" in page_of(tmp_path)


def test_no_mean_reward_is_made_of_an_accuracy_where_the_reward_is_the_score(
    tmp_path: Path,
) -> None:
    make_experiment(tmp_path, [MadeUpArm(value, 0, reference="zero") for value in (-0.5, 0.2)])
    for path in tmp_path.glob("train/*/config.json"):
        config = json.loads(path.read_text())
        config["reward"]["value"] = "score"
        path.write_text(json.dumps(config))
    page = page_of(tmp_path)
    assert "the mean reward of µ at its accuracy" not in page
    assert "the score, mapped from 0 and 1 to −1 and +1" in page


def test_a_summed_reward_and_a_length_term_stand_in_the_setting(tmp_path: Path) -> None:
    make_experiment(tmp_path, [MadeUpArm(value, 0, reference="zero") for value in (-0.5, 0.2)])
    overlong = {"max_tokens": 12, "cache_tokens": 4, "weight": 0.5}
    more = {"graders": ["math", "mine:form"], "weights": [1.0, 0.2], "overlong": overlong}
    for path in tmp_path.glob("train/*/config.json"):
        config = json.loads(path.read_text())
        config["reward"] |= more
        path.write_text(json.dumps(config))
    page = page_of(tmp_path)
    penalty = "minus a length penalty of up to 0.5 from 8 to 12 tokens"
    words = f"summed over graders: 1 math + 0.2 mine:form; {penalty}"
    assert f"+1 correct, −1 incorrect; {words}" in page
    assert "the mean reward of µ at its accuracy" not in page  # rewards are not two


def test_a_report_runs_no_function_that_an_arm_names(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3], seeds=[0]))
    for path in tmp_path.glob("train/*/config.json"):
        config = json.loads(path.read_text())
        config["reward"]["value"] = "no_such_module:f"
        path.write_text(json.dumps(config))
    assert "no_such_module:f of the score" in page_of(tmp_path)


def test_a_damaged_summary_is_an_error_that_names_it(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3]))
    path = tmp_path / "summary.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"summary\.parquet"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_curves_whose_evaluations_are_gone_are_still_drawn(tmp_path: Path) -> None:
    arms = sweep([-0.3, 0.3])
    make_experiment(tmp_path, arms)
    for path in (tmp_path / "evaluations").rglob("*.parquet"):
        path.unlink()
    assert '<section id="samples">' not in page_of(tmp_path)


def test_the_picture_writes_the_mean_over_seeds_at_each_baseline(page: str) -> None:
    picture = re.findall(r"<svg.*?</svg>", page, re.DOTALL)[0]
    written = re.findall(r"font-weight: 700; font-size: 9px[^>]*>\s*(\d+)</text>", picture)
    means = [
        sum(MadeUpArm(baseline, seed).accuracy(300) for seed in SEEDS) / len(SEEDS)
        for baseline in BASELINES
    ]
    assert written == [f"{100 * value:.0f}" for value in means]


def test_curves_of_the_train_split_alone_do_not_pass_for_held_out(tmp_path: Path) -> None:
    arms = sweep([-0.3], seeds=[0])
    make_curves(tmp_path, arms)
    rows = contracts.read_table(tmp_path / "curves.parquet", contracts.CURVES)
    train = rows.filter([value == "train" for value in rows.column("split").to_pylist()])
    contracts.write_table(tmp_path / "curves.parquet", contracts.CURVES, train, identity="")
    write_report(tmp_path)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"train-accuracy"}


def test_the_answer_stands_in_one_line_under_the_title_and_the_setting_is_folded(page: str) -> None:
    header = page.split("<body>")[1].split("</header>")[0]
    assert (
        '<p class="lead">Baseline −0.3 ends highest, at 96.6% (µ: 40.5%); '
        "collapsed: all 3 at 0, all 9 above 0.</p>"
    ) in header
    setting = page.split('<section id="setting">')[1].split("</section>")[0]
    assert "<details>\n<summary>27 arms: 9 settings, seeds of each: 3" in setting
    assert setting.index("<details>") < setting.index("<dl") < setting.index("</details>")


def test_an_arm_that_fell_from_its_peak_is_not_simply_improved(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3, -0.1]))
    path = tmp_path / "summary.parquet"
    rows = contracts.read_table(path, contracts.SUMMARY).to_pylist()
    for row in rows:  # standard errors are 1.8 points: 7.6 are three of their difference
        row["peak_step"] = 270
        row["peak_accuracy"] = row["accuracy"] + (0.08 if row["seed"] == 1 else 0.07)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    table = contracts.make_table(contracts.SUMMARY, columns)
    contracts.write_table(path, contracts.SUMMARY, table, identity="")
    page = page_of(tmp_path)
    assert arms_table(page).count("fell by 8.0") == 2
    assert arms_table(page).count("fell by") == 2
    assert page.count("1 of 3 fell") == 2
    assert "Below 0, all 6 arms improved, but 2 of 6 fell from their own peak." in page


def test_a_collapse_is_no_fall_beside_itself(page: str) -> None:
    assert "fell by" not in arms_table(page)


def test_what_is_theory_and_which_k_is_meant_is_said(page: str) -> None:
    assert "critical in theory" in page and "critical: 0" not in page
    assert "Theorem 4.2" in page
    panels = {panel["name"] for panel in data_of(page)["panels"]}
    assert "pass-at-k" in panels
    assert '<h4 id="title-pass-at-k">Held-out pass@2' in page
    assert '<button type="button">pass@2, %</button>' in arms_table(page)


def test_the_columns_of_samples_say_which_arm_they_are_of(page: str) -> None:
    writers = page.split('<dl class="writers">')[1].split("</dl>")[0]
    assert "<dt>lowest seed of the best setting</dt>" in writers
    assert "<dt>lowest collapsed arm</dt>" in writers


def test_settings_that_are_null_are_told_in_words(tmp_path: Path) -> None:
    arms = [MadeUpArm(-0.3, s, overrides=(("optim.steps", n),)) for s in (0, 1) for n in (None, 9)]
    legend = legend_of(page_of(make_experiment(tmp_path, arms)))
    assert "−0.3, steps=all" in legend and "null" not in legend


def test_the_table_of_aggregates_has_a_row_a_setting(page: str) -> None:
    table = page.split('aria-label="Table of aggregates"')[1].split("</table>")[0]
    assert table.count("<tr>") == 1 + 9
    titles = re.findall(r'<button type="button">([^<]+)</button>', table)
    assert titles == ["setting", "seeds", "median, %", "quartiles, %", "IQM, %", "P(above µ)",
                      "P(above 0)"]  # fmt: skip
    last = sorted(100 * MadeUpArm(-0.3, seed).accuracy(300) for seed in SEEDS)
    assert f">{last[1]:.1f}<" in table


def test_a_page_is_current_until_a_result_or_a_failure_is_newer(tmp_path: Path) -> None:
    directory = make_experiment(tmp_path, sweep([-0.3]))
    assert not is_current(directory)
    written = write_report(directory).stat().st_mtime_ns
    assert is_current(directory)
    for path in (directory / "summary.parquet", directory / "train/failed/failure.json"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, ns=(written + 1, written + 1))
        assert not is_current(directory)
        os.utime(path, ns=(written, written))
        assert is_current(directory)
    (directory / "curves.parquet").unlink()
    assert not is_current(directory)
