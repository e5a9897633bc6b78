"""Metrics are always in local files; wandb mirrors them where it is asked to."""

from pathlib import Path

import pytest

from asymreinforce.data import contracts
from asymreinforce.tracking import tracker
from tests import made
from tests.cli.commands import Outcome, only, tiny


def test_nothing_but_local_files_by_default(tmp_path: Path) -> None:
    config = made.config(tmp_path, policy="embedded")
    assert config.tracker.name == "none"
    with tracker(config, arm="a") as log:
        log({"step": 1, "loss": 0.5})
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_local_whatever_the_tracker(first_sweep: tuple[Path, Outcome]) -> None:
    (arm, *_) = sorted((first_sweep[0] / "cups/train").iterdir())
    shards = sorted((arm / "metrics").glob("*.parquet"))
    steps = [row for path in shards for row in contracts.read(path, contracts.METRICS).to_pylist()]
    assert [row["step"] for row in steps] == [0, 1, 2, 3, 4]
    assert steps[0]["kl"] == 0.0
    assert all(row["loss"] is not None for row in steps[1:])


def test_wandb_offline_writes_below_the_experiment(
    swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("HOME", str(swept))
    outcome = tiny("train", swept, "seed=7", "tracker=wandb", "tracker.mode=offline")
    assert outcome.code == 0, outcome.err
    (record,) = (swept / "cups/wandb").rglob("*.wandb")
    assert record.stat().st_size > 1000
    assert b"validation_accuracy" in record.read_bytes()
    again = tiny("train", swept, "seed=7", "tracker=none")
    assert "complete" in again.err  # a tracker changes nothing about an arm
    assert only(swept / "cups/rollouts").is_complete()
