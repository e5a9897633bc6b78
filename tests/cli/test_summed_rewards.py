"""A reward summed over two graders, and a length term, from `asymrl sweep` to the report."""

import re
import shutil
from pathlib import Path
from typing import Any

import asymrl
import numpy as np
import pytest

from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.report.write import write_report
from tests.fixtures import commands
from tests.fixtures import kills as killing
from tests.fixtures.commands import IN_PROCESS, refused, tiny
from tests.fixtures.stored_files import read_payload, read_stamps

MINE = "summed_graders:even"
CODE = "def even(metadata, gold_answer, text): return {share} * (len(text) % 2 == 0)\n"
TWO = f"reward.graders=[final_answer,{MINE}]"
OVERLONG = ("reward.overlong.max_tokens=10", "reward.overlong.cache_tokens=8")
SHORT = ("optim.steps=2", "evaluation.prompts=0")
ONE_ARM = ("baseline=-0.1", "seed=0", IN_PROCESS)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory with rollouts and an arm of the task's grader alone."""
    runs = tmp_path_factory.mktemp("summed") / "runs"
    swept = tiny("sweep", runs, *ONE_ARM)
    assert swept.code == 0, swept.err
    return runs


@pytest.fixture
def place(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in a user's directory with a grader of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "summed_graders.py").write_text(CODE.format(share="1.0"))
    return Path(shutil.copytree(prepared, tmp_path / "runs"))


def by_grader(runs: Path, grader: str) -> list[Store]:
    stores = [Store.open(plan.parent) for plan in (runs / "cups").glob("verdicts/*/plan.json")]
    return [store for store in stores if store.identity["grader"]["name"] == grader]


def arms(runs: Path) -> list[Store]:
    return [Store.open(plan.parent) for plan in (runs / "cups").glob("train/*/plan.json")]


def column(store: Store, name: str) -> np.ndarray:
    shards = [contracts.read_table(store.path(n), contracts.VERDICTS) for n in store.planned]
    return np.concatenate([shard.column(name).to_numpy(zero_copy_only=False) for shard in shards])


def first_step(store: Store) -> dict[str, Any]:
    tables = [
        contracts.read_table(store.path(name), contracts.METRICS).to_pylist()
        for name in store.planned
        if "metrics" in name
    ]
    return next(row for rows in tables for row in rows if row["step"] == 1)


def weights_of(store: Store) -> dict[str, bytes]:
    return {
        name: payload
        for name, payload in read_payload(store.directory).items()
        if name.endswith(".safetensors")
    }


def test_the_task_s_grader_alone_with_weight_1_is_the_same_arm(place: Path) -> None:
    (plain,) = arms(place)
    swept = tiny("sweep", place, "reward.graders=[final_answer]", *ONE_ARM)
    assert swept.code == 0, swept.err
    (summed,) = [store for store in arms(place) if store.hash != plain.hash]
    assert summed.identity["reward"]["graders"] == {"final_answer": 1.0}
    assert "graders" not in plain.identity["reward"]
    assert "verdicts of final_answer" not in summed.identity
    assert len(list((place / "cups").glob("verdicts/*/plan.json"))) == 1
    assert weights_of(summed) == weights_of(plain) and weights_of(plain)


def test_weights_are_swept_over_the_same_verdicts_and_reported(place: Path) -> None:
    (plain,) = arms(place)
    (own,) = by_grader(place, "final_answer")
    before = read_stamps(own.directory)
    swept = tiny("sweep", place, TWO, "reward.weights=[1,0.2],[1,-0.5]", *ONE_ARM)
    assert swept.code == 0, swept.err
    assert f"verdicts of {MINE}: " in swept.err
    assert read_stamps(own.directory) == before
    (mine,) = by_grader(place, MINE)
    assert column(mine, "prompt_id").tolist() == column(own, "prompt_id").tolist()
    new = {store.identity["reward"]["graders"][MINE]: store for store in arms(place)
           if store.hash != plain.hash}  # fmt: skip
    assert sorted(new) == [-0.5, 0.2]
    shards = mine.planned
    assert {store.identity[f"verdicts of {MINE}"] for store in new.values()} == {
        mine.fingerprint(shards)
    }
    # the first step reads the same rollouts in all three arms: r = own + w mine
    r_own = first_step(plain)["reward"]
    by_weight = {weight: first_step(store)["reward"] for weight, store in new.items()}
    r_mine = (by_weight[0.2] - by_weight[-0.5]) / 0.7
    assert abs(by_weight[0.2] - (r_own + 0.2 * r_mine)) < 1e-12 and abs(r_mine) <= 1
    results = asymrl.results(place / "cups")
    others = " ".join(results["other_settings"])
    assert "reward.weights" in others and MINE in others
    page = write_report(place / "cups").read_text()
    assert "reward.weights" in page


def test_a_grader_judged_anew_leaves_the_others_as_they_are(place: Path, tmp_path: Path) -> None:
    assert tiny("score", place, TWO).code == 0
    (own,), (mine,) = by_grader(place, "final_answer"), by_grader(place, MINE)
    before = read_stamps(own.directory) | read_stamps(mine.directory)
    assert tiny("score", place, TWO).err.count("complete, nothing to do") == 2
    (tmp_path / "summed_graders.py").write_text(CODE.format(share="0.0"))
    assert tiny("score", place, TWO).code == 0
    assert read_stamps(own.directory) | read_stamps(mine.directory) == before
    (other,) = [store for store in by_grader(place, MINE) if store.hash != mine.hash]
    assert set(column(other, "score")) == {0.0} and set(column(mine, "score")) == {0.0, 1.0}


def test_rollouts_that_one_grader_could_not_judge_follow_the_rule(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "summed_graders.py").write_text(
        "def even(metadata, gold_answer, text):\n"
        "    if len(text) % 2: raise ValueError('odd')\n"
        "    return 1.0\n"
    )
    refused(tiny("sweep", place, TWO, *ONE_ARM), MINE, "ValueError: odd")
    rules = ("reward.unjudged=exclude,incorrect", "reward.max_error_rate=1")
    swept = tiny("sweep", place, TWO, *rules, *SHORT, *ONE_ARM)
    assert swept.code == 0, swept.err
    sequences = {
        (store.identity["reward"]["unjudged"], "graders" in store.identity["reward"]): first_step(
            store
        )["sequences"]
        for store in arms(place)
    }
    assert sequences["exclude", False] == sequences["incorrect", True] == 32
    assert 0 < sequences["exclude", True] < 32


def test_the_length_term_trains_other_arms_on_the_same_verdicts(place: Path) -> None:
    (plain,) = arms(place)
    swept = tiny("sweep", place, *OVERLONG, *SHORT, *ONE_ARM)
    assert swept.code == 0, swept.err
    assert "score: complete, nothing to do" in swept.err
    (long,) = [store for store in arms(place) if store.hash != plain.hash]
    assert long.identity["reward"]["overlong"]["max_tokens"] == 10
    fall = first_step(plain)["reward"] - first_step(long)["reward"]
    assert 0.05 < fall <= 1


def test_the_mean_over_the_data_set_is_that_of_summed_rewards(place: Path) -> None:
    from asymreinforce.experiment import inputs
    from asymreinforce.stages.train.objective import reward_mean

    words = (TWO, "reward.weights=[1,0.25]", *OVERLONG, "baseline_reference=dataset_mean")
    assert tiny("score", place, *words).code == 0
    asked = [f"runs_dir={place}", *commands.TINY, *commands.EMBEDDED, *words, *ONE_ARM[:2]]
    config = asymrl.load(*asked)
    scored = inputs.find_inputs(config).scored
    (own,), (mine,) = by_grader(place, "final_answer"), by_grader(place, MINE)
    total, count = 0.0, 0
    for chunk in scored.chunks:
        rows = scored.read(chunk)
        for prompt_id, sample, tokens, cut_off in zip(
            rows.prompt_id_B, rows.sample_B, rows.completions, rows.truncated_B, strict=True
        ):
            total += sum(
                weight * (1 if score_at(store, prompt_id, sample) == 1 and not cut_off else -1)
                for weight, store in ((1, own), (0.25, mine))
            )
            total -= min(1.0, max(0, len(tokens) - 2) / 8)
            count += 1
    assert abs((reward_mean(config, scored) or 0.0) - total / count) < 1e-9


SCORES: dict[Path, dict[Any, float]] = {}


def score_at(store: Store, prompt_id: str, sample: int) -> float:
    """The score that a store holds of a rollout."""
    if store.directory not in SCORES:
        columns = (column(store, name).tolist() for name in ("prompt_id", "sample", "score"))
        SCORES[store.directory] = {(p, s): score for p, s, score in zip(*columns, strict=True)}
    return SCORES[store.directory][prompt_id, sample]


def score_in_child(runs: Path, place: Path, *settings: str) -> None:
    import os

    os.chdir(place)
    scored = tiny("score", runs, *settings)
    assert scored.code == 0, scored.err


def test_scoring_by_two_graders_that_is_killed_goes_on_where_it_was(
    place: Path, tmp_path: Path
) -> None:
    names = killing.failpoints(tmp_path / "log", score_in_child, place, tmp_path, TWO)
    expected = read_payload(place / "cups" / "verdicts")
    (mine,) = by_grader(place, MINE)
    (own,) = by_grader(place, "final_answer")
    untouched = read_stamps(own.directory)
    assert len(names) > 8
    for number in (2, len(names) // 2, len(names) - 1):
        shutil.rmtree(mine.directory)
        killing.kill_at(number, score_in_child, place, tmp_path, TWO)
        score_in_child(place, tmp_path, TWO)
        assert read_payload(place / "cups" / "verdicts") == expected
    assert read_stamps(own.directory) == untouched


def test_inspect_shows_the_reward_that_the_experiment_or_an_arm_was_made_with(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    (plain,) = arms(place)
    scored = tiny("score", place, "--change", TWO, "reward.weights=[1,0.2]", *OVERLONG)
    assert scored.code == 0, scored.err
    text = commands.asymrl("inspect", str(place / "cups"), "--limit", "3").out
    assert "verdicts of final_answer · " in text  # and not of the newest
    penalty = "minus a length penalty of up to 1 from 2 to 10 tokens"
    assert f"r = 1 final_answer + 0.2 {MINE}, {penalty}" in " ".join(text.split())
    (own,), (mine,) = by_grader(place, "final_answer"), by_grader(place, MINE)
    prompt, shown = "", 0
    for line in text.splitlines():
        prompt = match[1] if (match := re.match(r"(cups-[\w-]+)", line)) else prompt
        if not re.match(r" +\d+ +\d+  ", line):
            continue
        cells = line.replace("cut off", "length").replace("no answer", "none").split()
        sample, tokens, end, reward = int(cells[0]), int(cells[1]), cells[2], float(cells[4])
        values = [
            1 if score_at(store, prompt, sample) == 1 and end != "length" else -1
            for store in (own, mine)
        ]
        expected = values[0] + 0.2 * values[1] - min(1.0, max(0, tokens - 2) / 8)
        assert abs(reward - expected) < 0.00501, line
        shown += 1
    assert shown == 12
    alone = commands.asymrl("inspect", str(place / "cups"), "--grader", MINE).out
    assert f"verdicts of {MINE} · r: minus a length penalty of up to 1" in " ".join(alone.split())
    of_arm = commands.asymrl("inspect", str(place / "cups"), "--arm", plain.hash[:6]).out
    assert "verdicts of final_answer\n" in of_arm and "r = " not in of_arm
    outcome = commands.asymrl("inspect", str(place / "cups"), "--arm", "zz")
    refused(outcome, "no arm begins with 'zz'", plain.hash)


def test_a_plan_counts_what_each_grader_judges(tmp_path: Path) -> None:
    plain, both = (
        tiny("plan", tmp_path, "seed=0", "baseline=0", *settings).out
        for settings in ((), ("reward.graders=[exact]",))
    )
    assert "graded by final_answer" in plain and "drawn once and judged once" in plain
    assert "final_answer, exact" not in plain
    assert "graded by final_answer, exact" in both and "drawn once and judged by 2" in both


@pytest.mark.parametrize("command", ["init", "generate", "score", "sweep", "plan"])
def test_an_unknown_grader_is_refused_with_the_nearest_before_anything_is_made(
    command: str, tmp_path: Path
) -> None:
    outcome = tiny(command, tmp_path / "runs", "reward.graders=[final_answer,mathh]", "seed=0")
    refused(outcome, "reward.graders=mathh: no such grader; there are", "did you mean math?")
    assert not list((tmp_path / "runs").rglob("plan.json"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("reward.weights=[1]",), "name the graders"),
        ((TWO, "reward.weights=[1]"), "give each one weight"),
        (("reward.graders=[imported,exact]",), "source.path=FILE"),
        (("reward.overlong.max_tokens=8", "reward.overlong.cache_tokens=9"), "lower cache_tokens"),
        (("reward.overlong.cache_tokens=9",), "without reward.overlong.max_tokens"),
        (("reward.graders=[no_such_module:f]",), "no_such_module"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    settings: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    refused(tiny("sweep", tmp_path / "runs", *settings, "seed=0"), words)


def test_settings_that_are_seldom_meant_are_warned_of(place: Path) -> None:
    never = ("reward.overlong.max_tokens=5000", "reward.overlong.cache_tokens=8")
    swept = tiny("sweep", place, f"reward.graders=[{MINE}]", *never, *SHORT, *ONE_ARM)
    assert swept.code == 0, swept.err
    assert "no reward follows from task.grader=final_answer" in swept.err
    assert "reward.overlong begins beyond 4992 tokens" in swept.err
