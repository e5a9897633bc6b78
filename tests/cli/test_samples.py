"""`asymrl samples` and the tables of `asymrl report`, on a made-up experiment."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from asymreinforce.data import contracts
from tests.fixtures.commands import asymrl, refused
from tests.fixtures.made_up_experiment import MadeUpArm, make_experiment, sweep
from tests.fixtures.scored_sets import write_scored_set

WIDTH = 80


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "made-up"
    return make_experiment(place, sweep([-0.3, 0.0, 0.3]), metric_files=1)


def right_answers(directory: Path, name: str) -> int:
    (path,) = directory.glob(f"evaluations/*/{name}.parquet")
    return sum(contracts.read_table(path, contracts.EVALUATIONS).column("score").to_pylist())


def test_the_completions_of_a_step_are_counted_and_the_first_prompts_shown(directory: Path) -> None:
    arm = MadeUpArm(0.3, 1)
    outcome = asymrl("samples", str(directory), "--arm", arm.id, "--correct", "--limit", "2")
    assert outcome.code == 0
    heading, *_, last = outcome.out.splitlines()
    assert "baseline=0.3 seed=1" in heading and "step 300" in heading
    right = right_answers(directory, f"{arm.id}-300")
    assert last.startswith(f"{right:.0f} completions of ")
    assert outcome.out.count("prompt-") == 2
    assert "· correct ·" in outcome.out and "· incorrect ·" not in outcome.out


def test_step_0_is_the_behaviour_policy_and_a_prompt_can_be_named(directory: Path) -> None:
    outcome = asymrl("samples", str(directory), "--step", "0", "--prompt-id", "prompt-7")
    assert "held-out accuracy 40.5%" in outcome.out
    assert "2 completions of 1 prompts match" in outcome.out
    assert "gold answer: 3" in outcome.out


def test_what_is_not_there_is_one_message_that_names_what_is(directory: Path) -> None:
    place = str(directory)
    refused(asymrl("samples", place, "--arm", "zzz"), "no evaluated arm begins", "asymre-group")
    refused(asymrl("samples", place, "--arm", "asymre"), "9 arms begin with 'asymre'")
    refused(asymrl("samples", place, "--step", "7"), "step 7 was not evaluated", "0, 30, 60")
    arm = MadeUpArm(0.3, 1).id
    refused(asymrl("samples", place, "--arm", arm, "--step", "30"), "no such evaluation")
    refused(asymrl("samples", place, "--split", "validation"), "no evaluation on the split")
    refused(asymrl("report", place, "--against", "7"), "no evaluated arm is called '7'")
    refused(asymrl("report", place, place), "compared with itself")
    refused(asymrl("report", place, place, "--against", "0"), "leave them out with two")


def test_hostile_texts_reach_no_terminal(tmp_path: Path) -> None:
    hostile = "[bold]\x1b[2J\u202e[/]"
    make_experiment(tmp_path, sweep([-0.3], seeds=[0]), text=hostile, metric_files=1)
    printed = asymrl("samples", str(tmp_path)).out
    assert r"[bold]\x1b[2J\u202e[/]" in printed
    assert "\x1b" not in printed and "\u202e" not in printed


def test_results_are_printed_with_intervals_in_80_columns(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    outcome = asymrl("report", str(directory))
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= WIDTH
    assert "against µ" in outcome.out and "against 0" in outcome.out
    row = next(line for line in outcome.out.splitlines() if line.startswith(" −0.3"))
    assert len(re.findall(r"[+−][\d.]+ \[[−\d.]+, [−\d.]+\]", row)) == 2
    assert "improved" in row and "…" not in outcome.out
    assert "between which varied: data order" in outcome.out
    assert "never at its best step" in " ".join(outcome.out.split())


def test_two_experiments_are_printed_with_their_differences_in_80_columns(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    other = make_experiment(tmp_path / "other", sweep([-0.3, 0.0]), metric_files=1)
    outcome = asymrl("report", str(other), str(directory))
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= WIDTH
    row = next(line for line in outcome.out.splitlines() if line.startswith(" −0.3"))
    assert "+0.0 [0.0, 0.0]" in row
    assert (other / "report-and-made-up.html").exists()


def test_coverage_and_the_seeds_that_a_difference_needs_are_printed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    outcome = asymrl("report", str(directory), "--power", "2")
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= WIDTH
    assert "a difference of 2 points with power 0.8" in " ".join(outcome.out.split())
    covered = outcome.out[outcome.out.index("coverage at the last step") :]
    # setting, runs, pass@1, pass@2, distinct answers, distinct completions; no entropy was stored
    assert re.search(r"^ µ +1 +\d\d\.\d +\d\d\.\d +1\.\d\d +1\.\d\d +—", covered, re.MULTILINE)
    assert re.search(r"^ −0\.3 +3 +9\d\.\d ", covered, re.MULTILINE)
    words = " ".join(covered.split())
    assert "The evaluation drew 2 samples of each prompt, so k ends at 2" in words
    refused(asymrl("report", str(directory), "--power", "0"), "above 0")
    refused(asymrl("report", str(directory), str(directory), "--power", "2"), "of one experiment")


def test_every_command_on_the_page_runs(directory: Path) -> None:
    """Commands of the page, pasted: each exits with 0."""
    write_scored_set(directory / "set", prompts=3, samples=4)
    for part in ("rollouts", "verdicts"):
        shutil.copytree(directory / "set" / part, directory / part, dirs_exist_ok=True)
    asymrl("report", str(directory))
    page = (directory / "report.html").read_text()
    commands = set(re.findall(r'data-command="([^"]+)"', page))
    assert len(commands) > 9
    tried = {"samples": 0, "inspect": 0}
    for command in sorted(commands):
        program, name, *arguments = shlex.split(command.replace("&#39;", "'"))
        assert program == "asymrl" and name in tried
        if (name == "inspect" or "300" in arguments) and tried[name] < 3:
            tried[name] += 1
            assert asymrl(name, *arguments).code == 0, command
    assert tried == {"samples": 3, "inspect": 3}
