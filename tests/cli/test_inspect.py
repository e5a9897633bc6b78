"""`asymrl inspect`: what it prints, and that text from models is never obeyed."""

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.viewing.stored import find_set
from tests.fixtures import foreign_files as files
from tests.fixtures.commands import asymrl, refused
from tests.fixtures.scored_sets import write_scored_set, write_shard
from tests.fixtures.stored_files import read_stamps

HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]not markup[/red]\u202e" + "x\n" * 40


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory, random_policy: Path) -> Path:
    """Three prompts of three policies; the first rollout of each is correct, one is hostile."""
    work = tmp_path_factory.mktemp("inspect")
    rows: list[dict[str, Any]] = files.rows(prompts=3)
    for row in rows:
        number = row["sample"] // 10
        level, subject = ("easy" if number else "hard"), "[bold]cups"
        row |= {"reward": row["policy"] == "small", "level": level, "subject": subject}
        row["prompt_id"] = f"q{number}"
        if number == 2:
            row["gold_answer"] = [row["gold_answer"], "seven"]
    rows[-1] |= {"completion": HOSTILE[:40], "finish_reason": "length", "policy": HOSTILE}
    path = files.jsonl(work / "a.jsonl", rows)
    files.bring(work / "runs", random_policy, path)
    return work / "runs" / "small"


@pytest.fixture(autouse=True)
def of_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def shown(*arguments: str | Path) -> str:
    outcome = asymrl("inspect", *map(str, arguments))
    assert outcome.code == 0, outcome.err
    return outcome.out


def table_rows(text: str) -> list[list[str]]:
    """The lines of a group's table, in words."""
    return [line.split() for line in text.splitlines() if re.match(r" +\d+ +\d+  ", line)]


def test_a_group_stands_with_rewards_and_advantages_at_the_given_baseline(made_once: Path) -> None:
    text = shown(made_once, "--prompt-id", "q1", "--baseline", "-0.1")
    assert "q1 · easy · [bold]cups" in text
    assert "gold answer:" in text and "Ball under" in text
    rows = table_rows(text)
    # rewards +1, -1, -1: mean -1/3; A = r + 1/3 + 0.1
    assert [row[4:6] for row in rows] == [
        ["+1.00", "+1.433"],
        ["-1.00", "-0.567"],
        ["-1.00", "-0.567"],
    ]
    assert [row[3] for row in rows] == ["correct", "incorrect", "incorrect"]
    at_zero = table_rows(shown(made_once, "--prompt-id", "q1", "--reference", "zero"))
    assert [row[5] for row in at_zero] == ["+1.100", "-0.900", "-0.900"]


def test_every_accepted_answer_is_shown(made_once: Path) -> None:
    assert re.search(r"gold answer: \d or seven", shown(made_once, "--prompt-id", "q2"))


def test_a_filter_chooses_texts_and_prompts_and_the_group_stays_whole(made_once: Path) -> None:
    text = shown(made_once, "--truncated")
    assert text.count("gold answer:") == 1 and "q2" in text
    assert len(table_rows(text)) == 3
    assert text.count("sample 2 ·") == 1 and "sample 0 ·" not in text
    assert "no rollout matches" in shown(made_once, "--unjudged")
    assert "no rollout matches" in shown(made_once, "--policy", "nobody")
    correct = shown(made_once, "--correct", "--limit", "2")
    assert re.findall(r"sample (\d) · (\w+) · (\w+)", correct) == [("0", "small", "correct")] * 2


def test_counts_stand_by_policy_level_and_subject(made_once: Path) -> None:
    text = shown(made_once, "--counts")
    lines = {
        tuple(line.split()[:-5]): line.split()[-5:]
        for line in text.splitlines()
        if line.strip() and line.split()[-1].endswith("%")
    }
    assert lines["all",] == ["3", "9", "33.3%", "0.0%", "11.1%"]
    assert lines["policy", "small"] == ["3", "3", "100.0%", "0.0%", "0.0%"]
    assert lines["level", "hard"] == ["1", "3", "33.3%", "0.0%", "0.0%"]
    assert lines["subject", "[bold]cups"] == ["3", "9", "33.3%", "0.0%", "11.1%"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_hostile_text_is_spelled_out_and_lines_fit_the_terminal(
    made_once: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = shown(made_once, "--truncated")
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert r"\x1b[2J\x1b]0;owned\x07[red]not markup" in text.replace("\n", "")
    assert max(map(len, text.splitlines())) <= columns


def test_a_long_text_is_cut_in_characters_and_in_lines() -> None:
    from asymrl.console import cut_text

    assert cut_text("a" * 50, 10).plain == "aaaaaaaaaa … 40 bytes more"
    assert cut_text("x\n" * 40, 1000, most_lines=16).plain.count("\n") == 15
    assert cut_text("x\n" * 40, 1000, most_lines=16).plain.endswith(" … 24 lines more")


def test_two_graders_are_compared_in_a_table(made_once: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(made_once, tmp_path / "runs"))
    stored = find_set(runs)
    (imported,) = stored.verdicts
    other = Store(
        runs / "verdicts",
        {"stage": "verdicts", "rollouts": stored.rollouts.hash, "grader": {"name": "strict"}},
    )
    other.plan(imported.planned)
    for name in imported.planned:
        rows = contracts.read_table(imported.path(name), contracts.VERDICTS)
        scores = pa.array([0.0] * len(rows), pa.float64())
        place = rows.schema.get_field_index("score")
        columns = rows.set_column(place, "score", scores).to_pydict()
        columns["grader"] = ["strict"] * len(rows)
        write_shard(other, name, contracts.VERDICTS, columns, 3)
    text = shown(runs, "--grader", "imported", "--against", "strict")
    assert "9 rollouts judged by both, 3 differ; agree: 66.67%" in text
    cells = [line.split() for line in text.splitlines()]
    assert ["correct", "incorrect", "3"] in cells and ["incorrect", "incorrect", "6"] in cells
    assert ["q0", "0", "correct", "incorrect"] in cells


def test_what_is_not_there_is_said(made_once: Path, tmp_path: Path) -> None:
    refused(asymrl("inspect", str(tmp_path)), "holds no rollouts", "asymrl generate")
    refused(asymrl("inspect", str(made_once), "--grader", "math"), "there are: imported")
    refused(asymrl("inspect", str(made_once), "--rollouts", "zz"), "name begins with zz")
    refused(asymrl("inspect", str(made_once), "--reference", "median"), "group_mean")
    refused(
        asymrl("inspect", str(made_once), "--reference", "group_quantile"), "more than verdicts"
    )
    outcome = asymrl("inspect", str(made_once), "--against", "math")
    refused(outcome, "no verdicts of grader math", "asymrl score task.grader=math")


def test_rollouts_that_are_not_scored_are_shown_without_rewards(
    tmp_path: Path, random_policy: Path
) -> None:
    path = files.jsonl(tmp_path / "a.jsonl", files.rows(prompts=1))
    files.bring(tmp_path / "runs", random_policy, path)
    text = shown(tmp_path / "runs" / "small")
    assert "not scored yet" in text
    assert [row[5:7] for row in table_rows(text)] == [["-", "-"]] * 3  # "not scored" is two words


def test_generated_rollouts_in_blocks_are_shown_as_whole_groups(tmp_path: Path) -> None:
    rollouts, _ = write_scored_set(tmp_path / "set", prompts=3, samples=4, samples_per_block=2)
    shutil.copytree(tmp_path / "set", tmp_path / "runs")
    text = shown(tmp_path / "runs", "--limit", "1")
    assert rollouts.hash in text
    assert [row[0] for row in table_rows(text)] == ["0", "1", "2", "3"]


def later_round(runs: Path, arm: str, start: int, rollouts: str) -> None:
    """Write down a round of an arm, as training does."""
    place = runs / "train" / arm / "rounds"
    place.mkdir(parents=True, exist_ok=True)
    record = {"round": 1, "start": start, "end": start + 2, "rollouts": rollouts}
    (place / f"step-{start:06d}.json").write_text(json.dumps(record))


def test_the_shared_set_is_shown_and_a_later_round_s_where_it_is_asked_for(tmp_path: Path) -> None:
    shared, _ = write_scored_set(tmp_path / "a", prompts=3, samples=4)
    later, _ = write_scored_set(tmp_path / "b", prompts=2, samples=4, policy="later")
    runs = tmp_path / "runs"
    for name in ("a", "b"):  # the later one is the newest
        shutil.copytree(tmp_path / name, runs, dirs_exist_ok=True)
    newest = time.time() + 10
    os.utime(runs / "rollouts" / later.hash / "plan.json", (newest, newest))
    later_round(runs, "aa11", 0, shared.hash)
    later_round(runs, "aa11", 25, later.hash)
    text = shown(runs, "--counts")
    assert f"rollouts {shared.hash} · " in text
    assert "\nshared by all arms; 1 more, --rollouts or --round chooses\n" in text
    of_round = shown(runs, "--round", "25", "--counts")
    assert f"rollouts {later.hash} · " in of_round and "round from step 25 of arm aa11" in of_round
    assert f"rollouts {later.hash} · " in shown(runs, "--counts", "--rollouts", later.hash[:6])
    refused(asymrl("inspect", str(runs), "--round", "7"), "no round began at step 7", "rounds: 25")
    later_round(runs, "bb22", 25, later.hash)
    refused(asymrl("inspect", str(runs), "--round", "25"), "2 arms have a round", "add --arm")
    assert later.hash in shown(runs, "--round", "25", "--arm", "bb")


def test_inspect_changes_nothing(made_once: Path) -> None:
    before = read_stamps(made_once)
    shown(made_once)
    assert read_stamps(made_once) == before


def rendered(text: str) -> list[str]:
    """The lines that follow the words about a rendered prompt, up to the table."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if "as the model saw it" in line)
    end = next(n for n in range(start, len(lines)) if lines[n].lstrip().startswith("#"))
    return [line for line in lines[start:end] if line.strip()]


def test_the_prompt_stands_as_the_model_saw_it_with_its_special_tokens(
    random_policy: Path, tmp_path: Path
) -> None:
    chat = Path(shutil.copytree(random_policy, tmp_path / "chat"))
    settings = json.loads((chat / "tokenizer_config.json").read_text())
    end = settings["eos_token"]
    template = "{% for m in messages %}" + end + "{{ m.role }}: {{ m.content }}\n{% endfor %}"
    settings["chat_template"] = template
    (chat / "tokenizer_config.json").write_text(json.dumps(settings))
    rows: list[dict[str, Any]] = files.rows(prompts=1)
    for row in rows:
        row["reward"] = True
    runs = tmp_path / "runs"
    files.bring(runs, chat, files.jsonl(tmp_path / "a.jsonl", rows))
    first, *prompt = rendered(shown(runs / "small"))
    assert re.fullmatch(r"prompt as the model saw it \(\d+ tokens\):", first)
    assert prompt[0].startswith(f"{end}user: ")


def test_a_tokenizer_that_is_not_there_or_another_one_decodes_nothing(
    made_once: Path, random_policy: Path, tmp_path: Path
) -> None:
    experiment = Path(shutil.copytree(made_once, tmp_path / "small"))
    assert "as the model saw it" in shown(experiment)
    (record,) = experiment.glob("rollouts/*/provenance/*.json")
    values = json.loads(record.read_text())
    other = Path(shutil.copytree(random_policy, tmp_path / "other"))
    tokenizer = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"more": 1}))
    for place in (tmp_path / "gone", other):
        record.write_text(json.dumps(values | {"checkpoint": str(place)}))
        text = shown(experiment)
        assert "as the model saw it" not in text
        assert "its tokenizer was not found" in text


def test_a_rendered_prompt_is_shown_and_not_obeyed(random_policy: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = files.rows(prompts=1)
    for row in rows:
        row |= {"prompt": "what \x1b[2J[red]is", "reward": True}
    files.bring(tmp_path / "runs", random_policy, files.jsonl(tmp_path / "a.jsonl", rows))
    text = shown(tmp_path / "runs/small")
    assert "\x1b" not in text
