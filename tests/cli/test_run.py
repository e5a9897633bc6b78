"""`asymrl run`: several arms in rounds, summed up as a sweep is, and what other commands say."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.fixtures.commands import Outcome, asymrl, published, refused, tiny

ARMS = ("refresh_every=2,null", "baseline=-0.1", "seed=0")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """One arm of two rounds and one that never refreshes, in two processes."""
    runs_dir = tmp_path_factory.mktemp("run") / "runs"
    return runs_dir, tiny("run", runs_dir, *ARMS, "sweep.workers=2")


def test_arms_of_different_intervals_are_summed_up_side_by_side(ran: tuple[Path, Outcome]) -> None:
    runs_dir, outcome = ran
    assert outcome.code == 0, outcome.err
    rows = pq.read_table(runs_dir / "cups/summary.parquet").to_pylist()
    assert sorted((json.loads(row["overrides"])["refresh_every"] or 0) for row in rows) == [0, 2]
    assert [row["step"] for row in rows] == [4, 4]
    curves = pq.read_table(runs_dir / "cups/curves.parquet").to_pylist()
    assert {row["step"] for row in curves} == {0, 2, 4}
    assert (runs_dir / "cups/report.html").exists()
    assert "refresh_every" in outcome.out


def test_round_0_is_shared_and_the_refreshed_arm_has_one_set_more(
    ran: tuple[Path, Outcome],
) -> None:
    runs_dir, _ = ran
    for stage, count in (("rollouts", 2), ("verdicts", 2), ("round_prompts", 1), ("train", 2)):
        assert len(list((runs_dir / "cups" / stage).iterdir())) == count
    rows = pq.read_table(runs_dir / "cups/curves.parquet").to_pylist()
    at_two = {row["accuracy"] for row in rows if (row["split"], row["step"]) == ("held_out", 2)}
    assert len(at_two) == 1  # the same weights up to the refresh


def test_the_same_run_again_trains_and_generates_nothing(ran: tuple[Path, Outcome]) -> None:
    runs_dir, _ = ran
    stages = ("rollouts", "verdicts", "train", "round_prompts")
    before = {stage: published(runs_dir / "cups" / stage) for stage in stages}
    outcome = tiny("run", runs_dir, *ARMS, "sweep.report=false")
    assert outcome.code == 0, outcome.err
    assert "2 arms, 2 complete already" in outcome.err
    assert {stage: published(runs_dir / "cups" / stage) for stage in stages} == before


def test_arms_with_and_without_replay_are_told_apart_and_reported(
    ran: tuple[Path, Outcome],
) -> None:
    """Beside the arms that are there; what `plan`, `status` and `report` say of them."""
    runs_dir, _ = ran
    arms = ("refresh_every=2", "replay.capacity=0,1", "baseline=-0.1", "seed=0")
    outcome = tiny("run", runs_dir, *arms)
    assert outcome.code == 0, outcome.err
    assert "2 arms, 1 complete already" in outcome.err
    rows = pq.read_table(runs_dir / "cups/summary.parquet").to_pylist()
    capacities = [json.loads(row["overrides"]).get("replay.capacity") for row in rows]
    assert sorted(c or 0 for c in capacities) == [0, 0, 1]
    assert "capacity=1" in (runs_dir / "cups/report.html").read_text()
    status = asymrl("status", str(runs_dir / "cups"))
    assert status.code == 0, status.err
    planned = tiny("plan", runs_dir, arms[0], "replay.capacity=1", "baseline=-0.1", "seed=0")
    assert "4 groups a step" in planned.out


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_commands_that_make_no_rollouts_name_the_one_that_does(
    tmp_path: Path, command: str
) -> None:
    refused(tiny(command, tmp_path / "runs", "refresh_every=2", "seed=0"), "'asymrl run'")


def test_rounds_without_a_length_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    refused(asymrl("run", f"runs_dir={tmp_path}/runs", "rounds=8"), "refresh_every=250")
    assert published(tmp_path) == {}
