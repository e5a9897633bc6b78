"""The commands in order, on the embedded default cut down, and the files that they leave."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from tests.fixtures.commands import Outcome, asymrl, only, published, tiny
from tests.fixtures.stored_files import read_payload

STAGES = ("init", "generate", "score", "train", "evaluate")


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory in which every stage ran by its own command."""
    runs_dir = tmp_path_factory.mktemp("in-order") / "runs"
    for command in STAGES:
        outcome = tiny(command, runs_dir)
        assert outcome.code == 0, outcome.err
    return runs_dir


@pytest.fixture
def stepwise(in_order: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(in_order, tmp_path / "runs"))


def rollouts_of(runs_dir: Path) -> list[dict[str, object]]:
    store = only(runs_dir / "cups/rollouts")
    shards = [contracts.read_table(store.path(n), contracts.ROLLOUTS) for n in store.planned]
    return [row for shard in shards for row in shard.to_pylist()]


def test_every_stage_is_complete_and_holds_what_was_asked_for(in_order: Path) -> None:
    cups = in_order / "cups"
    stages = ("prompts", "policy", "rollouts", "verdicts", "train")
    for stage in stages:
        assert only(cups / stage).is_complete(), stage
    rows = rollouts_of(in_order)
    assert len(rows) == 48 * 4
    assert len({(row["prompt_id"], row["sample"]) for row in rows}) == 48 * 4
    assert {row["sample"] for row in rows} == {0, 1, 2, 3}
    assert only(cups / "verdicts").facts["rows"] == 48 * 4
    arm = only(cups / "train")
    assert arm.facts["steps"] == 4
    assert sorted(path.name for path in (arm.directory / "checkpoints").glob("step-??????")) == [
        "step-000002",
        "step-000004",
    ]
    splits = {
        Store.open(plan.parent).identity["split"]: len(list(plan.parent.glob("*.parquet")))
        for plan in (cups / "evaluations").glob("*/plan.json")
    }
    assert splits == {"held_out": 3, "train": 3}  # mu, step 2, step 4


def test_train_and_held_out_prompts_have_nothing_in_common(in_order: Path) -> None:
    prompts = only(in_order / "cups/prompts")
    asked = {
        split: set(
            contracts.read_table(prompts.path(f"{split}.parquet"), contracts.PROMPTS)
            .column("question")
            .to_pylist()
        )
        for split in ("train", "validation", "held_out")
    }
    assert {split: len(questions) for split, questions in asked.items()} == {
        "train": 48,
        "validation": 8,
        "held_out": 12,
    }
    assert len(set.union(*asked.values())) == 48 + 8 + 12


@pytest.mark.parametrize("command", STAGES)
def test_a_stage_that_is_complete_is_a_no_op_that_says_so(command: str, stepwise: Path) -> None:
    summaries = {"summary.parquet", "summary.json", "curves.parquet"}
    before = published(stepwise)
    outcome = tiny(command, stepwise)
    assert outcome.code == 0, outcome.err
    after = published(stepwise)
    changed = {Path(name).name for name in after if after[name] != before.get(name)}
    assert changed <= (summaries if command == "evaluate" else set())
    assert before.keys() == after.keys()
    if command != "init":
        assert "complete" in outcome.err


def test_a_directory_that_was_moved_is_evaluated_where_it_is_now(
    in_order: Path, stepwise: Path
) -> None:
    original = published(in_order)
    shutil.rmtree(stepwise / "cups/evaluations")
    outcome = tiny("evaluate", stepwise)
    assert outcome.code == 0, outcome.err
    assert len(list((stepwise / "cups/evaluations").glob("*/manifest.json"))) == 2
    assert published(in_order) == original


def test_a_sweep_makes_the_same_bytes_as_the_commands_in_order(
    in_order: Path, first_sweep: tuple[Path, Outcome]
) -> None:
    swept = first_sweep[0]
    for stage in ("prompts", "policy", "rollouts"):
        assert read_payload(in_order / "cups" / stage) == read_payload(swept / "cups" / stage)
    arm = only(in_order / "cups/train").directory
    twin = swept / "cups/train" / arm.name
    trained = read_payload(arm)
    other = read_payload(twin)
    assert {k: v for k, v in trained.items() if k != "config.json"} == {
        k: v for k, v in other.items() if k != "config.json"
    }


def test_the_first_samples_of_a_set_are_used_without_a_new_set(stepwise: Path) -> None:
    before = published(stepwise / "cups/rollouts")
    for command in ("generate", "score", "train"):
        outcome = tiny(command, stepwise, "sampling.samples_per_prompt=2")
        assert outcome.code == 0, outcome.err
    assert published(stepwise / "cups/rollouts") == before
    assert len(list((stepwise / "cups/verdicts").iterdir())) == 1
    arms = [Store.open(plan.parent) for plan in (stepwise / "cups/train").glob("*/plan.json")]
    sequences = {
        arm.identity["samples_per_prompt"]: contracts.read_table(
            arm.path("metrics/step-000002.parquet"), contracts.METRICS
        )
        .column("sequences")
        .to_pylist()
        for arm in arms
    }
    # 32 trajectories a step: 8 groups of 4, or 16 groups of 2; row 0 is mu before any step
    assert sequences == {4: [0, 32, 32], 2: [0, 32, 32]}


def test_more_samples_are_appended_and_those_there_are_left_alone(stepwise: Path) -> None:
    rollouts = stepwise / "cups/rollouts"
    before = {k: v for k, v in published(rollouts).items() if ".parquet" in k}
    rows = rollouts_of(stepwise)
    outcome = tiny("generate", stepwise, "sampling.samples_per_prompt=8")
    assert outcome.code == 0, outcome.err
    after = published(rollouts)
    assert {name: after[name] for name in before} == before
    more = rollouts_of(stepwise)
    assert len(more) == 48 * 8
    assert [row for row in more if row["sample"] in {0, 1, 2, 3}] == rows


def test_evaluation_settings_of_their_own_stand_beside_the_others(stepwise: Path) -> None:
    outcome = tiny("evaluate", stepwise, "evaluation.sampling.temperature=0.1")
    assert outcome.code == 0, outcome.err
    temperatures = sorted(
        Store.open(plan.parent).identity["sampling"]["temperature"]
        for plan in (stepwise / "cups/evaluations").glob("*/plan.json")
    )
    assert temperatures == [0.1, 0.1, 1.0, 1.0]


def test_report_is_written_of_one_arm(stepwise: Path) -> None:
    outcome = asymrl("report", str(stepwise / "cups"))
    assert outcome.code == 0, outcome.err
    page = (stepwise / "cups/report.html").read_text()
    assert "<script src" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert list((stepwise / "cups/figures").glob("*.svg"))


def test_the_summary_names_what_the_arm_was(in_order: Path) -> None:
    (row,) = json.loads((in_order / "cups/summary.json").read_text())
    assert (row["baseline"], row["seed"], row["algorithm"], row["step"]) == (-0.1, 0, "asymre", 4)
    assert pq.read_table(in_order / "cups/summary.parquet").to_pylist() == [row]
